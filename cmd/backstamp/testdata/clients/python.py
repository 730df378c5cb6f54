import os, smtplib, ssl
from email.message import EmailMessage

e = os.environ
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "상점 <app@shop.test>", "김철수 <kim@b.test>", e["MAIL_SUBJECT"]
m.set_content(open(e["MAIL_HTML"], encoding="utf-8").read(), subtype="html")
m.add_attachment(open(e["MAIL_ATTACHMENT"], "rb").read(), maintype="application", subtype="octet-stream", filename="명세서.bin")
trust = ssl.create_default_context(cafile=e["MAIL_CA"])
host, port = e["MAIL_HOST"], int(e["MAIL_PORT"])
if e["MAIL_TLS"] == "implicit":
    s = smtplib.SMTP_SSL(host, port, context=trust)
else:
    s = smtplib.SMTP(host, port)
if e["MAIL_TLS"] == "starttls":
    s.starttls(context=trust)
if e["MAIL_USER"]:
    s.login(e["MAIL_USER"], e["MAIL_PASS"])
s.send_message(m)
s.quit()
