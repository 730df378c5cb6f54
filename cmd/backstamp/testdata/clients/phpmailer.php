<?php
require '/usr/share/php/libphp-phpmailer/autoload.php';
$m = new PHPMailer\PHPMailer\PHPMailer(true);
$m->isSMTP();
$m->Host = getenv('MAIL_HOST');
$m->Port = (int) getenv('MAIL_PORT');
$m->SMTPSecure = ['off' => '', 'starttls' => 'tls', 'implicit' => 'ssl'][getenv('MAIL_TLS')];
$m->SMTPAutoTLS = false;
$m->SMTPOptions = ['ssl' => ['cafile' => getenv('MAIL_CA')]];
if (getenv('MAIL_USER') != '') {
    $m->SMTPAuth = true;
    $m->Username = getenv('MAIL_USER');
    $m->Password = getenv('MAIL_PASS');
}
$m->CharSet = 'utf-8';
$m->setFrom('app@shop.test', '상점');
$m->addAddress('kim@b.test', '김철수');
$m->Subject = getenv('MAIL_SUBJECT');
$m->msgHTML(file_get_contents(getenv('MAIL_HTML')));
$m->addAttachment(getenv('MAIL_ATTACHMENT'), '명세서.bin');
$m->send();
