require 'mail'
e = ENV
options = { address: e['MAIL_HOST'], port: e['MAIL_PORT'].to_i, enable_starttls_auto: false, ca_file: e['MAIL_CA'] }
options[:enable_starttls] = true if e['MAIL_TLS'] == 'starttls'
options[:ssl] = true if e['MAIL_TLS'] == 'implicit'
options.update(user_name: e['MAIL_USER'], password: e['MAIL_PASS'], authentication: :plain) unless e['MAIL_USER'].empty?
m = Mail.new(charset: 'UTF-8')
m.from, m.to, m.subject = '상점 <app@shop.test>', '김철수 <kim@b.test>', e['MAIL_SUBJECT']
m.html_part = Mail::Part.new(content_type: 'text/html; charset=UTF-8', body: File.read(e['MAIL_HTML'], encoding: 'utf-8'))
m.attachments['a.bin'] = File.binread(e['MAIL_ATTACHMENT'])
m.delivery_method :smtp, options
m.deliver!
