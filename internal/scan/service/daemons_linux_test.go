package service

// daemons are those of Debian that the lab knows. Their settings listen on loopback
// and write to a folder of the test.
func daemons() []daemon {
	return append([]daemon{
		{
			name: "openssh-server", command: "/usr/sbin/sshd", port: 22, service: "ssh", product: "OpenSSH", version: true,
			prepare: "ssh-keygen -q -t ed25519 -N '' -f key; mkdir -p /run/sshd; chmod 755 /run/sshd",
			args:    []string{"-D", "-e", "-f", "/dev/null", "-p", "PORT", "-h", "DIR/key", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1"},
		},
		{
			name: "nginx-light", command: "/usr/sbin/nginx", port: 80, service: "http", product: "nginx", version: true,
			args:  []string{"-p", "DIR", "-c", "DIR/nginx.conf", "-e", "DIR/error.log", "-g", "daemon off;"},
			files: map[string]string{"nginx.conf": "pid DIR/pid; events {} http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; server { listen 127.0.0.1:PORT; root DIR/www; } }", "www/index.html": "<title>x</title>"},
		},
		{
			name: "redis-server", command: "/usr/bin/redis-server", port: 6379, service: "redis", product: "Redis", version: true,
			args: []string{"--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--dir", "DIR"},
		},
		{
			name: "redis-server on a port of its own", command: "/usr/bin/redis-server", port: 7777, service: "redis", product: "Redis", version: true,
			args: []string{"--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--dir", "DIR"},
		},
		{
			name: "openssh-server on a port of its own", command: "/usr/sbin/sshd", port: 7022, service: "ssh", product: "OpenSSH", version: true,
			prepare: "ssh-keygen -q -t ed25519 -N '' -f key; mkdir -p /run/sshd; chmod 755 /run/sshd",
			args:    []string{"-D", "-e", "-f", "/dev/null", "-p", "PORT", "-h", "DIR/key", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1"},
		},
		{
			name: "nginx with TLS", command: "/usr/sbin/nginx", port: 443, service: "https", product: "nginx", version: true,
			prepare: "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -subj /CN=lab.invalid -days 10 2>/dev/null",
			args:    []string{"-p", "DIR", "-c", "DIR/nginx.conf", "-e", "DIR/error.log", "-g", "daemon off;"},
			files:   map[string]string{"nginx.conf": "pid DIR/pid; events {} http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; server { listen 127.0.0.1:PORT ssl; ssl_certificate DIR/cert; ssl_certificate_key DIR/key; } }"},
		},
		{
			name: "apache2", command: "/usr/sbin/apache2", port: 8081, service: "http", product: "Apache httpd", version: true,
			args:  []string{"-X", "-d", "DIR", "-f", "DIR/a.conf"},
			files: map[string]string{"a.conf": "ServerName lab\nListen 127.0.0.1:PORT\nPidFile DIR/pid\nErrorLog DIR/log\nMutex sem\nUser www-data\nGroup www-data\nLoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nDocumentRoot DIR\n"},
		},
		{
			name: "lighttpd", command: "/usr/sbin/lighttpd", port: 8082, service: "http", product: "lighttpd", version: true,
			args: []string{"-D", "-f", "DIR/l.conf"}, files: map[string]string{"l.conf": "server.document-root = \"DIR\"\nserver.bind = \"127.0.0.1\"\nserver.port = PORT\n"},
		},
		{
			name: "snmpd", command: "/usr/sbin/snmpd", port: 161, protocol: udp, service: "snmp", product: "Net-SNMP",
			args: []string{"-f", "-Lo", "-C", "-c", "DIR/s.conf", "-p", "DIR/pid", "udp:127.0.0.1:PORT"}, files: map[string]string{"s.conf": "rocommunity public\n"},
		},
		{
			name: "samba", command: "/usr/sbin/smbd", port: 445, service: "microsoft-ds", product: "Samba smbd",
			args:  []string{"--foreground", "--no-process-group", "-s", "DIR/smb.conf"},
			files: map[string]string{"smb.conf": "[global]\nworkgroup = LAB\nnetbios name = LABBOX\nbind interfaces only = yes\ninterfaces = lo\nprivate dir = DIR\nlock directory = DIR\nstate directory = DIR\ncache directory = DIR\npid directory = DIR\nncalrpc dir = DIR/n\nlog file = DIR/log\nsmb ports = PORT\ndisable spoolss = yes\n"},
		},
		{
			name: "mariadb-server", command: "/usr/sbin/mariadbd", port: 3306, service: "mysql", product: "MariaDB", version: true,
			prepare: "mkdir data; mariadb-install-db --no-defaults --user=root --datadir=DIR/data --auth-root-authentication-method=normal --skip-test-db >/dev/null 2>&1",
			args:    []string{"--no-defaults", "--user=root", "--datadir=DIR/data", "--socket=DIR/s", "--port=PORT", "--bind-address=127.0.0.1", "--pid-file=DIR/pid"},
		},
		{
			name: "postgresql", command: "/usr/bin/su", port: 5432, service: "postgresql", product: "PostgreSQL",
			prepare: "mkdir data; chown postgres DIR data; su postgres -c '/usr/lib/postgresql/15/bin/initdb -N -D DIR/data >/dev/null'",
			args:    []string{"postgres", "-c", "exec /usr/lib/postgresql/15/bin/postgres -D DIR/data -h 127.0.0.1 -p PORT -k DIR -c fsync=off"},
		},
		{name: "memcached on a port of its own", command: "/usr/bin/memcached", port: 7779, service: "memcached", product: "memcached", version: true, args: []string{"-u", "nobody", "-l", "127.0.0.1", "-p", "PORT"}},
		{name: "memcached", command: "/usr/bin/memcached", port: 11211, service: "memcached", product: "memcached", version: true, args: []string{"-u", "nobody", "-l", "127.0.0.1", "-p", "PORT"}},
		{
			name: "vsftpd", command: "/usr/sbin/vsftpd", port: 21, service: "ftp", product: "vsftpd", version: true,
			prepare: "mkdir empty", args: []string{"DIR/v.conf"},
			files: map[string]string{"v.conf": "listen=YES\nlisten_ipv6=NO\nlisten_address=127.0.0.1\nbackground=NO\nsecure_chroot_dir=DIR/empty\nanonymous_enable=NO\nlocal_enable=YES\n"},
		},
	}, moreDaemons()...)
}

func moreDaemons() []daemon {
	return []daemon{
		{
			name: "exim4", command: "/usr/sbin/exim4", port: 25, service: "smtp", product: "Exim smtpd", version: true,
			args: []string{"-C", "DIR/e.conf", "-bdf", "-oX", "127.0.0.1.PORT"}, files: map[string]string{"e.conf": "primary_hostname = lab.invalid\nspool_directory = DIR/spool\nlog_file_path = DIR/%slog\nexim_user = root\nexim_group = root\npid_file_path = DIR/pid\n"},
			prepare: "chmod 644 e.conf",
		},
		{
			name: "dovecot (IMAP)", command: "/usr/sbin/dovecot", port: 143, service: "imap", product: "Dovecot imapd",
			args:  []string{"-F", "-c", "DIR/d.conf"},
			files: map[string]string{"d.conf": "protocols = imap pop3\nlisten = 127.0.0.1\nbase_dir = DIR/run\nlog_path = DIR/log\nssl = no\nservice imap-login {\n inet_listener imap {\n  port = PORT\n }\n}\npassdb {\n driver = static\n args = password=x\n}\nuserdb {\n driver = static\n args = uid=nobody gid=nogroup home=/tmp\n}\n"},
		},
		{name: "dovecot (POP3)", command: "/usr/sbin/dovecot", port: 110, service: "pop3", product: "Dovecot pop3d", with: true},
		{
			name: "bind9", command: "/usr/sbin/named", port: 53, service: "domain", product: "ISC BIND", version: true,
			args:  []string{"-g", "-c", "DIR/n.conf"},
			files: map[string]string{"n.conf": "options { directory \"DIR\"; listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; dnssec-validation no; recursion no; }; controls { };\n"},
		},
		{name: "bind9 by UDP", command: "/usr/sbin/named", port: 53, protocol: udp, service: "domain", product: "ISC BIND", version: true, with: true},
		{
			name: "mosquitto", command: "/usr/sbin/mosquitto", port: 1883, service: "mqtt", product: "Mosquitto", version: true,
			args: []string{"-c", "DIR/m.conf"}, files: map[string]string{"m.conf": "listener PORT 127.0.0.1\nallow_anonymous true\nuser root\n"},
		},
		{
			name: "cups-daemon", command: "/usr/sbin/cupsd", port: 631, service: "ipp", product: "CUPS", version: true,
			args:  []string{"-f", "-c", "DIR/c.conf", "-s", "DIR/f.conf"},
			files: map[string]string{"c.conf": "Listen 127.0.0.1:PORT\nServerName lab\nWebInterface Yes\n", "f.conf": "ServerRoot DIR\nRequestRoot DIR\nCacheDir DIR\nStateDir DIR\nErrorLog DIR/log\nAccessLog DIR/alog\nPageLog DIR/plog\n"},
		},
		{
			name: "slapd", command: "/usr/sbin/slapd", port: 389, service: "ldap", product: "OpenLDAP",
			args: []string{"-d", "0", "-h", "ldap://127.0.0.1:PORT/", "-f", "DIR/s.conf"}, files: map[string]string{"s.conf": "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_ldif\ndatabase ldif\nsuffix \"dc=lab\"\ndirectory DIR\n"},
		},
		{
			name: "rsync", command: "/usr/bin/rsync", port: 873, service: "rsync", product: "rsync",
			args: []string{"--daemon", "--no-detach", "--config=DIR/r.conf", "--port=PORT", "--address=127.0.0.1"}, files: map[string]string{"r.conf": "use chroot = no\n"},
		},
		{
			name: "chrony", command: "/usr/sbin/chronyd", port: 123, protocol: udp, service: "ntp",
			args: []string{"-x", "-d", "-u", "root", "-f", "DIR/c.conf"}, files: map[string]string{"c.conf": "local stratum 10\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport PORT\ncmdport 0\npidfile DIR/pid\nbindcmdaddress /\n"},
		},
		{name: "rpcbind", command: "/usr/sbin/rpcbind", port: 111, service: "rpcbind", product: "rpcbind", args: []string{"-f"}},
		{
			name: "dnsmasq (TFTP)", command: "/usr/sbin/dnsmasq", port: 69, protocol: udp, service: "tftp",
			args: []string{"-k", "--port=0", "--enable-tftp", "--tftp-root=DIR", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--conf-file=/dev/null", "--pid-file=DIR/pid"},
		},
		{
			name: "squid", command: "/usr/sbin/squid", port: 3128, service: "http-proxy", product: "Squid", version: true,
			args: []string{"-N", "-f", "DIR/s.conf"}, prepare: "chmod 777 DIR; chmod 644 s.conf",
			files: map[string]string{"s.conf": "http_port 127.0.0.1:PORT\npid_filename none\naccess_log none\ncache_log DIR/log\ncache deny all\nnetdb_filename none\ncoredump_dir DIR\nshutdown_lifetime 0 seconds\n"},
		},
		{name: "prometheus", command: "/usr/bin/prometheus", port: 9090, service: "http", product: "Prometheus", version: true, args: []string{"--config.file=DIR/p.yml", "--storage.tsdb.path=DIR/tsdb", "--web.listen-address=127.0.0.1:PORT"}, files: map[string]string{"p.yml": "{}\n"}},
	}
}
