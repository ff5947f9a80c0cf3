//! Where a broker is and who one is there, as people write both: `nats://user:password@host:4222`, several with commas.

/// A broker's servers, and the way in.
///
/// What stands in front of a host's `@` is decoded as in any URL: `%40` is `@`. A `%` that begins no code is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrls {
    /// `nats://host:port` or `tls://host:port`, without what is secret.
    pub servers: Vec<String>,
    /// Of the first server that has one.
    pub login: Option<Login>,
}

/// What a URL says of who one is.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// `user:password@`.
    User(String, String),
    /// `token@`.
    Token(String),
}

/// Says which it is, and nothing that is secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Login::User(..) => "User(..)",
            Login::Token(_) => "Token(..)",
        })
    }
}

impl BrokerUrls {
    /// Reads them. Whether a server is one is found out by whoever connects.
    pub fn parse(text: &str) -> Self {
        let mut login = None;
        let servers = text.split(',').map(|url| {
            let url = url.trim();
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let (secret, host) = match rest.rsplit_once('@') {
                Some((secret, host)) => (Some(secret), host),
                None => (None, rest),
            };
            login = login.take().or_else(|| secret.map(Login::parse));
            format!("{scheme}://{host}")
        });
        let servers = servers.collect();
        BrokerUrls { servers, login }
    }

    /// The servers in a line, without what is secret.
    pub fn shown(&self) -> String {
        self.servers.join(",")
    }
}

impl Login {
    fn parse(secret: &str) -> Self {
        match secret.split_once(':') {
            Some((user, password)) => Login::User(decoded(user), decoded(password)),
            None => Login::Token(decoded(secret)),
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let code = digits.and_then(|digits| {
            let [high, low] = [digits.first()?, digits.last()?].map(|digit| char::from(*digit));
            u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()
        });
        bytes.push(code.unwrap_or(first));
        let read = if code.is_some() { 2 } else { 0 };
        rest = after.get(read..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_taken_out_and_not_shown() {
        let shown = |urls: &str| {
            let urls = BrokerUrls::parse(urls);
            assert!(!format!("{urls:?}").contains("secret"), "{urls:?}");
            urls.shown()
        };
        assert_eq!(shown("nats://a:secret@h:4222"), "nats://h:4222");
        assert_eq!(
            shown("tls://secret@h, nats://u:secret@i"),
            "tls://h,nats://i"
        );
        assert_eq!(shown("h:1"), "nats://h:1");
        assert_eq!(shown("u:secret@h:1"), "nats://h:1");
    }

    #[test]
    fn the_first_way_in_counts_and_is_decoded() {
        let login = |urls: &str| BrokerUrls::parse(urls).login;
        let user = |user: &str, password: &str| Some(Login::User(user.into(), password.into()));
        assert_eq!(
            login("nats://one,nats://me:p%40ss%2@two"),
            user("me", "p@ss%2")
        );
        assert_eq!(login("nats://a:1@one,b:2@two"), user("a", "1"));
        assert_eq!(login("nats://a@b:c@d@h"), user("a@b", "c@d"));
        assert_eq!(
            login("tls://%C3%A9%zz@h"),
            Some(Login::Token("é%zz".into()))
        );
        assert_eq!(login("h:1"), None);
    }
}
