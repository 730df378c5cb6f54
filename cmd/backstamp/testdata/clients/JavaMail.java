import java.io.File;
import java.nio.file.*;
import java.util.*;
import javax.mail.*;
import javax.mail.internet.*;

public class JavaMail {
    public static void main(String[] args) throws Exception {
        Map<String, String> e = System.getenv();
        String tls = e.get("MAIL_TLS");
        Properties p = new Properties();
        p.put("mail.transport.protocol", "smtp");
        p.put("mail.smtp.host", e.get("MAIL_HOST"));
        p.put("mail.smtp.port", e.get("MAIL_PORT"));
        p.put("mail.smtp.ssl.enable", "" + tls.equals("implicit"));
        p.put("mail.smtp.starttls.required", "" + tls.equals("starttls"));
        p.put("mail.smtp.ssl.trust", "*");
        p.put("mail.smtp.auth", "" + !e.get("MAIL_USER").isEmpty());
        Session s = Session.getInstance(p);
        MimeBodyPart html = new MimeBodyPart(), file = new MimeBodyPart();
        html.setContent(new String(Files.readAllBytes(Paths.get(e.get("MAIL_HTML"))), "utf-8"), "text/html; charset=utf-8");
        file.attachFile(new File(e.get("MAIL_ATTACHMENT")));
        MimeMessage m = new MimeMessage(s);
        m.setFrom(new InternetAddress("app@shop.test", "상점", "utf-8"));
        m.setRecipient(Message.RecipientType.TO, new InternetAddress("kim@b.test", "김철수", "utf-8"));
        m.setSubject(e.get("MAIL_SUBJECT"), "utf-8");
        m.setContent(new MimeMultipart(html, file));
        if (e.get("MAIL_USER").isEmpty()) {
            Transport.send(m);
        } else {
            Transport.send(m, e.get("MAIL_USER"), e.get("MAIL_PASS"));
        }
    }
}
