//! What is wrong with a text and what to do, for the rules of the schema and for the code that checks the same again.

/// `<field> <problem>; <fix>` is a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) problem: &'static str,
    pub(crate) fix: &'static str,
}

impl Fault {
    /// This fault, unless the condition holds.
    pub(crate) fn unless(self, holds: bool) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(self) }
    }

    /// The sentence about `subject`.
    pub(super) fn of(self, subject: &str) -> String {
        let Self { problem, fix } = self;
        format!("{subject} {problem}; {fix}")
    }
}

pub(crate) const NOT_OF_A_URI: Fault = Fault {
    problem: "is empty or holds characters that no URI holds, like spaces, quotes, backslashes and letters that are not ASCII",
    fix: "percent-encode other characters, and write an international host name in its xn-- form",
};
pub(crate) const FRAGMENT: Fault = Fault { problem: "has a fragment", fix: "remove the # and what follows it" };
pub(crate) const QUERY: Fault = Fault { problem: "has a query", fix: "remove the ? and what follows it" };
pub(crate) const AMPERSANDS: Fault = Fault {
    problem: "has more than 32 times &",
    fix: "keep fewer parameters in its query; what varies belongs into state",
};
pub(crate) const NOT_ABSOLUTE: Fault = Fault {
    problem: "does not begin with a scheme and a colon",
    fix: "write the whole URI, like https://app.example.com/callback",
};
pub(crate) const REFUSED_SCHEME: Fault = Fault {
    problem: "has a scheme that a browser acts on by itself",
    fix: "write https, or for a native app a scheme of its own, like com.example.app:/callback",
};
pub(crate) const NO_PLACE: Fault = Fault {
    problem: "ends after its scheme, or is http or https without // and a host",
    fix: "write it like https://app.example.com/callback or com.example.app:/callback",
};
pub(crate) const USER: Fault =
    Fault { problem: "has a user name or password", fix: "remove what stands between // and @, and the @" };
pub(crate) const PORT: Fault = Fault {
    problem: "has a port that is not a number from 1 to 65535",
    fix: "write another port, or leave it out together with its colon",
};
pub(crate) const HOST: Fault = Fault {
    problem: "has no valid host",
    fix: "write a name of letters, digits, - and _ with single dots between them, an IPv4 address, or an IPv6 address in \
          brackets",
};
pub(crate) const PERCENT: Fault =
    Fault { problem: "has a % that two hexadecimal digits do not follow", fix: "write the character % itself as %25" };
pub(crate) const LOGO_URL: Fault = Fault {
    problem: "is not an absolute http or https URL with a host",
    fix: "write it like https://www.example.com/logo.png",
};
pub(crate) const API_URL: Fault = Fault { problem: LOGO_URL.problem, fix: "write it like https://api.meshagent.com" };
