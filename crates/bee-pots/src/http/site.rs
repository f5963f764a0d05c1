//! What the HTTP trap shows: a WordPress site on Apache, and the other things scanners ask for. Pure: a request in, a page out.
//!
//! Names, dates and fake secrets come from the seed, so that two nodes differ and one stays itself. Attacker text that a
//! page repeats is escaped. Nothing here looks at a real file.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::request::Head;
use crate::config::HttpConfig;

/// The imitated site.
#[derive(Debug)]
pub(super) struct Site {
    title: String,
    server: String,
    version: String,
    /// Name of the one author, which user enumeration finds.
    author: &'static str,
    seed: [u8; 32],
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

const HTML: &str = "text/html; charset=UTF-8";
const JSON: &str = "application/json; charset=UTF-8";
const XML: &str = "text/xml; charset=UTF-8";
const TEXT: &str = "text/plain; charset=UTF-8";

impl Page {
    fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn redirect(to: &str) -> Self {
        Self::new(302, HTML, "").with("Location", to)
    }
}

impl Site {
    pub(super) fn new(config: &HttpConfig, seed: &str) -> Self {
        let seed: [u8; 32] = Sha256::digest(seed.as_bytes()).into();
        let first =
            ["Harbor", "Maple", "Northside", "Summit", "Riverbend", "Oakfield", "Lakeview", "Stone Bridge"];
        let second = [
            "Consulting",
            "Dental Care",
            "Logistics",
            "Design Studio",
            "Community Church",
            "Bakery",
            "Accounting",
            "Property Group",
        ];
        let author = ["admin", "editor", "webmaster", "office", "marketing"];
        let title = if config.site_title.is_empty() {
            format!("{} {}", pick(&seed, 0, &first), pick(&seed, 1, &second))
        } else {
            config.site_title.clone()
        };
        Self {
            title,
            server: config.server.clone(),
            version: config.wordpress_version.clone(),
            author: pick(&seed, 2, &author),
            seed,
        }
    }

    /// The `Server` header.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Answers one request. `user` is the name that was tried, if the request was a login.
    pub(super) fn answer(&self, head: &Head, body: &[u8], user: Option<&str>) -> Page {
        let post = head.method == "POST";
        if !["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"]
            .contains(&head.method.as_str())
        {
            return self
                .error(405, "Method Not Allowed", "The requested method is not allowed for this URL.")
                .with("Allow", "GET,POST,OPTIONS,HEAD");
        }
        if head.method == "OPTIONS" {
            return Page::new(200, HTML, "").with("Allow", "GET,POST,OPTIONS,HEAD");
        }
        let path = head.path();
        match path.trim_end_matches('/') {
            "" | "/index.php" => self.home(head),
            "/wp-login.php" => self.wp_login(post, user),
            "/wp-admin" | "/admin" | "/login" | "/wp-admin/index.php" | "/dashboard" => {
                Page::redirect("/wp-login.php?redirect_to=%2Fwp-admin%2F&reauth=1")
            }
            "/wp-admin/admin-ajax.php" | "/wp-admin/admin-post.php" => Page::new(400, HTML, "0"),
            "/xmlrpc.php" => Self::xmlrpc(post, body),
            "/wp-json" => self.wp_json(),
            "/wp-json/wp/v2/users" => self.wp_users(),
            "/readme.html" => self.readme(),
            "/license.txt" => Page::new(
                200,
                TEXT,
                "WordPress - Web publishing software\n\nCopyright 2011-2024 by the contributors\n",
            ),
            "/robots.txt" => {
                Page::new(200, TEXT, "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\n")
            }
            "/feed" => self.feed(),
            "/.env" | "/api/.env" | "/wp/.env" | "/.env.bak" | "/.env.production" => self.dot_env(),
            "/.git/config" => self.git_config(),
            "/.git/HEAD" => Page::new(200, TEXT, "ref: refs/heads/main\n"),
            "/phpmyadmin"
            | "/phpmyadmin/index.php"
            | "/pma"
            | "/phpMyAdmin"
            | "/phpMyAdmin/index.php"
            | "/mysql" => self.phpmyadmin(post, user),
            "/manager/html" | "/manager/text" | "/manager/status" | "/host-manager/html" => Self::tomcat(),
            "/actuator" => Page::new(
                200,
                "application/vnd.spring-boot.actuator.v3+json",
                r#"{"_links":{"self":{"href":"/actuator","templated":false},"health":{"href":"/actuator/health","templated":false},"env":{"href":"/actuator/env","templated":false},"info":{"href":"/actuator/info","templated":false}}}"#,
            ),
            "/actuator/health" => {
                Page::new(200, "application/vnd.spring-boot.actuator.v3+json", r#"{"status":"UP"}"#)
            }
            "/actuator/info" => Page::new(200, "application/vnd.spring-boot.actuator.v3+json", "{}"),
            "/actuator/env" => self.actuator_env(),
            "/solr" | "/solr/admin" | "/solr/index.html" => Page::new(
                200,
                HTML,
                "<!DOCTYPE html>\n<html ng-app=\"solrAdminApp\">\n<head><title>Solr Admin</title></head>\n<body ng-controller=\"MainController\"><div id=\"wrapper\"><div id=\"header\"><a href=\"#/\" id=\"solr\"><span>Apache SOLR</span></a></div></div></body>\n</html>\n",
            ),
            "/solr/admin/info/system" => Page::new(
                200,
                JSON,
                r#"{"responseHeader":{"status":0,"QTime":12},"mode":"std","solr_home":"/var/solr/data","lucene":{"solr-spec-version":"8.11.1","lucene-spec-version":"8.11.1"},"jvm":{"version":"11.0.21+9-post-Debian-1deb11u1"}}"#,
            ),
            "/solr/admin/cores" => Page::new(
                200,
                JSON,
                r#"{"responseHeader":{"status":0,"QTime":1},"initFailures":{},"status":{"products":{"name":"products","instanceDir":"/var/solr/data/products"}}}"#,
            ),
            "/HNAP1" => Self::hnap(),
            "/server-status" | "/.htaccess" | "/.htpasswd" | "/wp-config.php.bak" => {
                self.error(403, "Forbidden", "You don't have permission to access this resource.")
            }
            "/wp-config.php" | "/wp-cron.php" => Page::new(200, HTML, ""),
            "/boaform/admin/formLogin"
            | "/boaform/admin/formPing"
            | "/boafrm/formSysCmd"
            | "/goform/login" => Page::new(
                200,
                HTML,
                "<html><body><blockquote>\n<h2>ERROR: bad username or password!</h2>\n<form><input type=\"button\" onclick=\"history.go(-1)\" value=\"&nbsp;&nbsp;OK&nbsp;&nbsp;\"></form></blockquote></body></html>\n",
            ),
            other => self.by_prefix(other),
        }
    }

    fn by_prefix(&self, path: &str) -> Page {
        if path.starts_with("/cgi-bin") {
            return self.error(500, "Internal Server Error", "The server encountered an internal error or misconfiguration and was unable to complete your request.");
        }
        if path.starts_with("/manager/") || path.starts_with("/host-manager/") {
            return Self::tomcat();
        }
        if path.starts_with("/wp-admin/") {
            return Page::redirect("/wp-login.php?redirect_to=%2Fwp-admin%2F&reauth=1");
        }
        if path.starts_with("/wp-json/") {
            return Page::new(
                404,
                JSON,
                r#"{"code":"rest_no_route","message":"No route was found matching the URL and request method.","data":{"status":404}}"#,
            );
        }
        if ["/wp-content", "/wp-content/plugins", "/wp-content/themes", "/wp-includes"].contains(&path) {
            return Page::new(200, HTML, "");
        }
        self.not_found()
    }

    fn home(&self, head: &Head) -> Page {
        if head.query().starts_with("author=") {
            return Page::new(301, HTML, "").with("Location", format!("/author/{}/", self.author));
        }
        let title = &self.title;
        let body = format!(
            "<article class=\"post-1 post type-post status-publish format-standard hentry\">\n<h2 class=\"entry-title\"><a href=\"/hello-world/\" rel=\"bookmark\">Welcome to {title}</a></h2>\n<div class=\"entry-content\"><p>Thank you for visiting our new website. We are still adding content, so please check back soon or contact us by phone.</p></div>\n<footer>Posted by <a href=\"/author/{author}/\">{author}</a></footer>\n</article>\n",
            author = self.author
        );
        Page::new(200, HTML, self.layout(title, &body))
            .with("Link", "</wp-json/>; rel=\"https://api.w.org/\"")
    }

    fn layout(&self, title: &str, body: &str) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"UTF-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<meta name=\"generator\" content=\"WordPress {version}\" />\n<title>{title}</title>\n<link rel=\"alternate\" type=\"application/rss+xml\" title=\"{site} &raquo; Feed\" href=\"/feed/\" />\n<link rel=\"https://api.w.org/\" href=\"/wp-json/\" />\n<link rel=\"EditURI\" type=\"application/rsd+xml\" title=\"RSD\" href=\"/xmlrpc.php?rsd\" />\n<link rel='stylesheet' id='twentytwentyone-style-css' href='/wp-content/themes/twentytwentyone/style.css?ver=2.1' media='all' />\n</head>\n<body class=\"home blog wp-embed-responsive\">\n<header id=\"masthead\" class=\"site-header\"><h1 class=\"site-title\"><a href=\"/\">{site}</a></h1></header>\n<main id=\"main\">\n{body}</main>\n<footer id=\"colophon\"><p>Proudly powered by <a href=\"https://wordpress.org/\">WordPress</a>. <a href=\"/wp-login.php\">Log in</a></p></footer>\n</body>\n</html>\n",
            version = self.version,
            site = self.title,
        )
    }

    fn wp_login(&self, post: bool, user: Option<&str>) -> Page {
        let error = match user {
            Some("") if post => {
                "<div id=\"login_error\"><strong>Error:</strong> The username field is empty.<br />\n</div>\n"
                    .to_owned()
            }
            Some(user) if post && user == self.author => format!(
                "<div id=\"login_error\"><strong>Error:</strong> The password you entered for the username <strong>{user}</strong> is incorrect. <a href=\"/wp-login.php?action=lostpassword\">Lost your password?</a><br />\n</div>\n"
            ),
            Some(user) if post => format!(
                "<div id=\"login_error\"><strong>Error:</strong> The username <strong>{}</strong> is not registered on this site. If you are unsure of your username, try your email address instead.<br />\n</div>\n",
                escape(user)
            ),
            _ => String::new(),
        };
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n<title>Log In &lsaquo; {title} &#8212; WordPress</title>\n<meta name='robots' content='max-image-preview:large, noindex, noarchive' />\n<link rel='stylesheet' id='login-css' href='/wp-admin/css/login.min.css?ver={version}' media='all' />\n</head>\n<body class=\"login no-js login-action-login wp-core-ui  locale-en-us\">\n<div id=\"login\">\n<h1><a href=\"https://wordpress.org/\">Powered by WordPress</a></h1>\n{error}<form name=\"loginform\" id=\"loginform\" action=\"/wp-login.php\" method=\"post\">\n<p><label for=\"user_login\">Username or Email Address</label>\n<input type=\"text\" name=\"log\" id=\"user_login\" class=\"input\" value=\"{value}\" size=\"20\" autocapitalize=\"off\" autocomplete=\"username\" required=\"required\" /></p>\n<div class=\"user-pass-wrap\"><label for=\"user_pass\">Password</label>\n<input type=\"password\" name=\"pwd\" id=\"user_pass\" class=\"input password-input\" value=\"\" size=\"20\" autocomplete=\"current-password\" spellcheck=\"false\" required=\"required\" /></div>\n<p class=\"forgetmenot\"><input name=\"rememberme\" type=\"checkbox\" id=\"rememberme\" value=\"forever\" /> <label for=\"rememberme\">Remember Me</label></p>\n<p class=\"submit\"><input type=\"submit\" name=\"wp-submit\" id=\"wp-submit\" class=\"button button-primary button-large\" value=\"Log In\" />\n<input type=\"hidden\" name=\"redirect_to\" value=\"/wp-admin/\" />\n<input type=\"hidden\" name=\"testcookie\" value=\"1\" /></p>\n</form>\n<p id=\"nav\"><a href=\"/wp-login.php?action=lostpassword\">Lost your password?</a></p>\n<p id=\"backtoblog\"><a href=\"/\">&larr; Go to {title}</a></p>\n</div>\n</body>\n</html>\n",
            title = self.title,
            version = self.version,
            value = escape(user.unwrap_or_default()),
        );
        Page::new(200, HTML, body)
            .with("Expires", "Wed, 11 Jan 1984 05:00:00 GMT")
            .with("Cache-Control", "no-cache, must-revalidate, max-age=0")
            .with("Set-Cookie", "wordpress_test_cookie=WP%20Cookie%20check; path=/")
            .with("X-Frame-Options", "SAMEORIGIN")
    }

    fn xmlrpc(post: bool, body: &[u8]) -> Page {
        if !post {
            return Page::new(405, TEXT, "XML-RPC server accepts POST requests only.").with("Allow", "POST");
        }
        let text = String::from_utf8_lossy(body);
        if text.contains("system.listMethods") {
            let methods = [
                "system.multicall",
                "system.listMethods",
                "system.getCapabilities",
                "pingback.ping",
                "metaWeblog.newPost",
                "wp.getUsersBlogs",
                "wp.getPosts",
            ];
            let values: String =
                methods.iter().map(|m| format!("  <value><string>{m}</string></value>\n")).collect();
            return Page::new(
                200,
                XML,
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse>\n  <params>\n    <param>\n      <value>\n      <array><data>\n{values}</data></array>\n      </value>\n    </param>\n  </params>\n</methodResponse>\n"
                ),
            );
        }
        let (code, message) = match () {
            () if text.contains("pingback.ping") => (0, ""),
            () if text.contains("<methodName>") => (403, "Incorrect username or password."),
            () => (-32700, "parse error. not well formed"),
        };
        Page::new(
            200,
            XML,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse>\n  <fault>\n    <value>\n      <struct>\n        <member>\n          <name>faultCode</name>\n          <value><int>{code}</int></value>\n        </member>\n        <member>\n          <name>faultString</name>\n          <value><string>{message}</string></value>\n        </member>\n      </struct>\n    </value>\n  </fault>\n</methodResponse>\n"
            ),
        )
    }

    fn wp_json(&self) -> Page {
        let body = serde_json::json!({
            "name": self.title, "description": "", "url": "/", "home": "/", "gmt_offset": "0", "timezone_string": "",
            "namespaces": ["oembed/1.0", "wp/v2", "wp-site-health/v1", "wp-block-editor/v1"],
            "authentication": {"application-passwords": {"endpoints": {"authorization": "/wp-admin/authorize-application.php"}}},
            "routes": {"/": {"namespace": "", "methods": ["GET"]}, "/wp/v2/posts": {"namespace": "wp/v2", "methods": ["GET", "POST"]}, "/wp/v2/users": {"namespace": "wp/v2", "methods": ["GET", "POST"]}}
        });
        Page::new(200, JSON, body.to_string())
    }

    fn wp_users(&self) -> Page {
        let link = format!("/author/{}/", self.author);
        Page::new(200, JSON, serde_json::json!([{"id": 1, "name": self.author, "url": "", "description": "", "link": link, "slug": self.author}]).to_string())
    }

    fn readme(&self) -> Page {
        Page::new(
            200,
            HTML,
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n<title>WordPress &rsaquo; ReadMe</title>\n</head>\n<body>\n<h1 id=\"logo\"><a href=\"https://wordpress.org/\">WordPress</a></h1>\n<p style=\"text-align: center\">Version {}</p>\n</body>\n</html>\n",
                self.version
            ),
        )
    }

    fn feed(&self) -> Page {
        Page::new(
            200,
            "application/rss+xml; charset=UTF-8",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rss version=\"2.0\">\n<channel>\n<title>{}</title>\n<link>/</link>\n<generator>https://wordpress.org/?v={}</generator>\n</channel>\n</rss>\n",
                self.title, self.version
            ),
        )
    }

    fn dot_env(&self) -> Page {
        let (key, db, mail) = (self.secret("app", 32), self.secret("db", 16), self.secret("mail", 20));
        Page::new(
            200,
            TEXT,
            format!(
                "APP_NAME=\"{}\"\nAPP_ENV=production\nAPP_KEY=base64:{key}\nAPP_DEBUG=false\n\nDB_CONNECTION=mysql\nDB_HOST=127.0.0.1\nDB_PORT=3306\nDB_DATABASE=web\nDB_USERNAME=web\nDB_PASSWORD={db}\n\nMAIL_MAILER=smtp\nMAIL_HOST=127.0.0.1\nMAIL_PORT=587\nMAIL_USERNAME=noreply\nMAIL_PASSWORD={mail}\n",
                self.title
            ),
        )
    }

    fn git_config(&self) -> Page {
        Page::new(
            200,
            TEXT,
            format!(
                "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n[remote \"origin\"]\n\turl = git@git.internal:web/{}.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n",
                self.secret("repo", 6)
            ),
        )
    }

    fn phpmyadmin(&self, post: bool, user: Option<&str>) -> Page {
        let error = match user {
            Some(user) if post => format!(
                "<div class=\"alert alert-danger\" role=\"alert\">mysqli::real_connect(): (HY000/1045): Access denied for user '{}'@'localhost' (using password: YES)</div>\n",
                escape(user)
            ),
            _ => String::new(),
        };
        let token = self.secret("pma", 32);
        Page::new(200, HTML, format!("<!doctype html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"robots\" content=\"noindex,nofollow\">\n<title>phpMyAdmin</title>\n</head>\n<body id=\"loginform\">\n<div class=\"container\">\n<h1>Welcome to <bdo dir=\"ltr\" lang=\"en\">phpMyAdmin</bdo></h1>\n{error}<form method=\"post\" id=\"login_form\" action=\"index.php?route=/\" name=\"login_form\" class=\"disableAjax hide js-show\">\n<label for=\"input_username\">Username:</label> <input type=\"text\" name=\"pma_username\" id=\"input_username\" value=\"\" size=\"24\" class=\"textfield\">\n<label for=\"input_password\">Password:</label> <input type=\"password\" name=\"pma_password\" id=\"input_password\" value=\"\" size=\"24\" class=\"textfield\">\n<input type=\"hidden\" name=\"server\" value=\"1\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\n<input class=\"btn btn-primary\" value=\"Log in\" type=\"submit\" id=\"input_go\">\n</form>\n</div>\n</body>\n</html>\n"))
            .with("X-Robots-Tag", "noindex, nofollow")
            .with("X-Frame-Options", "DENY")
    }

    fn tomcat() -> Page {
        Page::new(401, HTML, "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\">\n<html>\n <head>\n  <title>401 Unauthorized</title>\n </head>\n <body>\n   <h1>401 Unauthorized</h1>\n   <p>You are not authorized to view this page. If you have not changed any configuration files, please examine the file <tt>conf/tomcat-users.xml</tt> in your installation.</p>\n </body>\n</html>\n")
            .with("WWW-Authenticate", "Basic realm=\"Tomcat Manager Application\"")
    }

    fn actuator_env(&self) -> Page {
        let body = serde_json::json!({"activeProfiles": ["prod"], "propertySources": [{"name": "systemEnvironment", "properties": {"SPRING_DATASOURCE_USERNAME": {"value": "web"}, "SPRING_DATASOURCE_PASSWORD": {"value": "******"}, "HOSTNAME": {"value": format!("app-{}", self.secret("host", 4))}}}]});
        Page::new(200, "application/vnd.spring-boot.actuator.v3+json", body.to_string())
    }

    fn hnap() -> Page {
        Page::new(
            200,
            XML,
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><GetDeviceSettingsResponse xmlns=\"http://purenetworks.com/HNAP1/\"><GetDeviceSettingsResult>OK</GetDeviceSettingsResult><Type>GatewayWithWiFi</Type><VendorName>D-Link</VendorName><ModelName>DIR-850L</ModelName><FirmwareVersion>1.14</FirmwareVersion></GetDeviceSettingsResponse></soap:Body></soap:Envelope>\n",
        )
    }

    fn not_found(&self) -> Page {
        let body = "<section class=\"error-404 not-found\"><h1 class=\"page-title\">Nothing here</h1><p>It looks like nothing was found at this location. Maybe try a search?</p></section>\n";
        Page::new(404, HTML, self.layout(&format!("Page not found &#8211; {}", self.title), body))
    }

    /// Apache's own error page.
    pub(super) fn error(&self, status: u16, reason: &str, text: &str) -> Page {
        let server = escape(&self.server);
        Page::new(
            status,
            "text/html; charset=iso-8859-1",
            format!(
                "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>{status} {reason}</title>\n</head><body>\n<h1>{reason}</h1>\n<p>{text}</p>\n<hr>\n<address>{server} Server</address>\n</body></html>\n"
            ),
        )
    }

    /// A fake secret: hexadecimal digits that belong to this site and `label`.
    fn secret(&self, label: &str, digits: usize) -> String {
        let digest = Sha256::new().chain_update(self.seed).chain_update(label.as_bytes()).finalize();
        HEXLOWER.encode(&digest).chars().take(digits).collect()
    }
}

fn pick<'a>(seed: &[u8; 32], at: usize, of: &[&'a str]) -> &'a str {
    let number = usize::from(seed.get(at).copied().unwrap_or_default());
    of.get(number % of.len().max(1)).copied().unwrap_or_default()
}

/// The reason phrase of a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        500 => "Internal Server Error",
        _ => "Unknown",
    }
}

/// Text for HTML.
fn escape(text: &str) -> String {
    text.chars().take(200).fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#039;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Parsed;

    fn site(seed: &str) -> Site {
        Site::new(&HttpConfig::default(), seed)
    }

    fn get(path: &str) -> Page {
        ask("GET", path, b"", None)
    }

    fn ask(method: &str, path: &str, body: &[u8], user: Option<&str>) -> Page {
        let Parsed::Head(head, _) = Head::parse(format!("{method} {path} HTTP/1.1\r\n\r\n").as_bytes())
        else {
            panic!("head")
        };
        site("a").answer(&head, body, user)
    }

    #[test]
    fn what_scanners_ask_for_is_there() {
        for (path, status, needle) in [
            ("/", 200, "WordPress 6.4.3"),
            ("/wp-login.php", 200, "name=\"pwd\""),
            ("/wp-admin/", 302, ""),
            ("/xmlrpc.php", 405, "accepts POST requests only"),
            ("/wp-json/", 200, "wp/v2"),
            ("/readme.html", 200, "Version 6.4.3"),
            ("/.env", 200, "DB_PASSWORD="),
            ("/.git/config", 200, "[core]"),
            ("/phpmyadmin/", 200, "pma_password"),
            ("/admin", 302, ""),
            ("/cgi-bin/luci", 500, "internal error"),
            ("/manager/html", 401, "tomcat-users.xml"),
            ("/actuator", 200, "health"),
            ("/solr/", 200, "Solr Admin"),
            ("/boaform/admin/formLogin?username=a&psd=b", 200, "bad username"),
            ("/HNAP1/", 200, "GetDeviceSettings"),
            ("/nothing-here", 404, "Nothing here"),
        ] {
            let page = get(path);
            assert_eq!(page.status, status, "{path}");
            assert!(page.body.contains(needle), "{path}: {}", page.body);
        }
        assert!(
            get("/manager/html").headers.iter().any(|(n, v)| *n == "WWW-Authenticate" && v.contains("Basic"))
        );
    }

    #[test]
    fn attacker_text_on_a_page_is_escaped() {
        for path in ["/wp-login.php", "/phpmyadmin/"] {
            let page = ask("POST", path, b"", Some("<script>\"'&\u{0}"));
            assert!(!page.body.contains("<script>"), "{path}");
            assert!(page.body.contains("&lt;script&gt;&quot;&#039;&amp;"), "{path}");
        }
    }

    #[test]
    fn two_nodes_differ_and_one_stays_itself() {
        assert_eq!(site("a").dot_env(), site("a").dot_env());
        assert_ne!(site("a").dot_env(), site("b").dot_env());
    }

    #[test]
    fn unusual_methods_are_refused_as_apache_does() {
        assert_eq!(ask("CONNECT", "example.org:443", b"", None).status, 405);
        assert_eq!(ask("OPTIONS", "/", b"", None).status, 200);
    }
}
