const fs = require('fs'), e = process.env
const transport = require('nodemailer').createTransport({
  host: e.MAIL_HOST, port: e.MAIL_PORT, secure: e.MAIL_TLS === 'implicit', requireTLS: e.MAIL_TLS === 'starttls', ignoreTLS: e.MAIL_TLS === 'off',
  tls: { ca: fs.readFileSync(e.MAIL_CA) }, auth: e.MAIL_USER ? { user: e.MAIL_USER, pass: e.MAIL_PASS } : undefined,
})
transport.sendMail({
  from: '상점 <app@shop.test>', to: '김철수 <kim@b.test>', subject: e.MAIL_SUBJECT, html: fs.readFileSync(e.MAIL_HTML, 'utf8'),
  attachments: [{ filename: '명세서.bin', content: fs.readFileSync(e.MAIL_ATTACHMENT) }],
}).catch(err => { console.error(err); process.exit(1) })
