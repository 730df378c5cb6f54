<?php
// As old scripts do it: headers by hand, and line ends as they come.
$mark = 'mark-1';
$body = "--$mark\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" . file_get_contents(getenv('MAIL_HTML'))
    . "\n--$mark\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.bin\n\n"
    . chunk_split(base64_encode(file_get_contents(getenv('MAIL_ATTACHMENT')))) . "--$mark--\n";
$ok = mail('kim@b.test', '=?UTF-8?B?' . base64_encode(getenv('MAIL_SUBJECT')) . '?=', $body,
    ['From' => 'app@shop.test', 'MIME-Version' => '1.0', 'Content-Type' => "multipart/mixed; boundary=\"$mark\""], '-fapp@shop.test');
exit($ok ? 0 : 1);
