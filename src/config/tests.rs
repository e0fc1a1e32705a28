//! What the variables become.

use clerk_verify::authenticate::OrganizationSync;

use super::*;

const KEY: (&str, &str) = ("CLERK_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuY2xlcmsuZGV2JA");

fn config(vars: &[(&str, &str)]) -> Result<ClerkConfig, String> {
    let read =
        |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    ClerkConfig::from_vars(read).map_err(|error| error.to_string())
}

#[test]
fn the_publishable_key_alone_is_enough() {
    let config = config(&[KEY]).expect("complete");
    assert_eq!(config.frontend_api_url().as_str(), "https://clerk.clerk.dev/");
    assert_eq!(config.backend_api.as_str(), "https://api.clerk.com/");
    assert!(config.secret_key.is_none());
}

#[test]
fn a_missing_or_empty_variable_is_named_with_what_to_do() {
    for vars in [&[][..], &[("CLERK_PUBLISHABLE_KEY", " ")]] {
        let error = config(vars).expect_err("incomplete");
        assert!(error.contains("CLERK_PUBLISHABLE_KEY is not set"), "{error}");
        assert!(error.contains("dashboard"), "{error}");
    }
}

#[test]
fn a_front_end_spelling_of_the_publishable_key_will_do() {
    assert!(config(&[("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", KEY.1)]).is_ok());
}

#[test]
fn each_malformed_variable_is_named_and_no_secret_is_shown() {
    for (name, value) in [
        ("CLERK_SECRET_KEY", "pk_live_oops_secret"),
        ("CLERK_SECRET_KEY", "oops_secret"),
        ("CLERK_JWT_KEY", "oops_secret"),
        ("CLERK_JWT_KEY", "-----BEGIN RSA PRIVATE KEY-----\noops_secret\n"),
        ("CLERK_API_URL", "api.clerk.com"),
        ("CLERK_API_URL", "http://api.clerk.com"),
        ("CLERK_API_URL", "https://user:oops_secret@api.clerk.com"),
        ("CLERK_FAPI", "ftp://clerk.example.com"),
        ("CLERK_PROXY_URL", "http://example.com/__clerk"),
        ("CLERK_DOMAIN", "https://app.example.org"),
        ("CLERK_DOMAIN", "app.example.org/path"),
        ("CLERK_DOMAIN", "user:oops_secret@app.example.org"),
        ("CLERK_IS_SATELLITE", "maybe"),
        ("VITE_CLERK_IS_SATELLITE", "maybe"),
        ("CLERK_RESILIENCE_STATUS_URL", "nonsense"),
        ("CLERK_RESILIENCE_EGRESS_CANARIES", "http://example.com"),
        ("CLERK_AUTHORIZED_PARTIES", " , ,"),
        ("CLERK_AUTHORIZED_PARTIES", ""),
        ("CLERK_WEBHOOK_SIGNING_SECRET", ""),
    ] {
        let error = config(&[KEY, (name, value)]).expect_err(name);
        assert!(error.starts_with(name), "{name}: {error}");
        assert!(!error.contains("oops_secret"), "{error}");
    }
    let error = config(&[("CLERK_PUBLISHABLE_KEY", "sk_live_oops_secret")]).expect_err("swap");
    assert!(error.contains("swap") && !error.contains("oops_secret"), "{error}");
}

#[test]
fn an_authorized_party_that_is_no_origin_is_corrected() {
    for (party, hint) in [
        ("https://app.example.com/", "\"https://app.example.com\""),
        ("https://app.example.com/path", "\"https://app.example.com\""),
        ("app.example.com", "is not an origin"),
    ] {
        let config = config(&[KEY]).expect("complete").authorized_parties([party]);
        let error = config.check().expect_err(party).to_string();
        assert!(error.contains(hint), "{error}");
    }
    let good = config(&[KEY]).expect("complete").authorized_parties(["http://localhost:3000"]);
    assert!(good.check().is_ok());
}

#[test]
fn a_list_without_an_entry_never_switches_a_check_off() {
    for text in ["", " ", ",", " , ,", "\t"] {
        let error = config(&[KEY, ("CLERK_AUTHORIZED_PARTIES", text)]).expect_err("no entry");
        assert!(error.contains("names nothing"), "{text:?}: {error}");
    }
    for parties in [&[][..], &[""], &[" "], &["https://app.example.com", ""], &["", ""]] {
        let config = config(&[KEY]).expect("complete").authorized_parties(parties.iter().copied());
        let error = config.check().expect_err("no origin").to_string();
        assert!(error.contains("authorized part"), "{parties:?}: {error}");
    }
    assert!(config(&[KEY]).expect("complete").check().is_ok());
}

#[test]
fn an_organization_pattern_that_cannot_be_read_is_an_error() {
    let check = |organization: &[&str], personal: &[&str]| {
        let sync = OrganizationSync::new(organization.iter().copied(), personal.iter().copied());
        config(&[KEY]).expect("complete").site(|site| site.organizations(sync)).check()
    };
    for pattern in ["", " ", "/x/:id?", "/x/:", "/(bad", "/x/*"] {
        for found in [check(&[pattern], &[]), check(&["/orgs/:slug"], &["/me", pattern])] {
            let error = found.expect_err(pattern).to_string();
            assert!(error.contains("organisation pattern"), "{pattern:?}: {error}");
        }
    }
    assert!(check(&["/orgs/:slug", "/orgs/:slug/(.*)"], &["/me"]).is_ok());
    assert!(check(&[], &[]).is_ok());
}

#[test]
fn a_satellite_needs_both_keys_of_one_mode() {
    let vars = [
        SATELLITE,
        ("CLERK_DOMAIN", "app.example.org"),
        ("CLERK_SIGN_IN_URL", "https://example.com/sign-in"),
    ];
    for (publishable, secret, good) in [
        (LIVE, "sk_live_x", true),
        (LIVE, "sk_test_x", false),
        (KEY, "sk_test_x", true),
        (KEY, "sk_live_x", false),
    ] {
        let secret_key = ("CLERK_SECRET_KEY", secret);
        let found = config(&[&[publishable, secret_key], &vars[..]].concat()).expect("complete");
        assert_eq!(found.check().is_ok(), good, "{secret}");
        let primary = config(&[publishable, secret_key]).expect("complete");
        assert!(primary.check().is_ok(), "a warning, for a primary application");
    }
}

#[test]
fn plain_http_is_for_this_host_alone() {
    assert!(config(&[KEY, ("CLERK_API_URL", "http://127.0.0.1:4000")]).is_ok());
    assert!(config(&[KEY, ("CLERK_FRONTEND_API_URL", "http://localhost:4000")]).is_ok());
    assert!(config(&[KEY, ("CLERK_FAPI", "clerk.example.com")]).is_ok());
}

const LIVE: (&str, &str) = ("CLERK_PUBLISHABLE_KEY", "pk_live_Y2xlcmsuY2xlcmsuZGV2JA");
const SATELLITE: (&str, &str) = ("CLERK_IS_SATELLITE", "true");

#[test]
fn contradicting_settings_are_named_with_advice() {
    let domain = ("CLERK_DOMAIN", "app.example.org");
    for (vars, hint) in [
        (&[LIVE, SATELLITE][..], "set CLERK_DOMAIN"),
        (&[KEY, SATELLITE, domain], "CLERK_SIGN_IN_URL"),
        (&[KEY, SATELLITE, domain, ("CLERK_SIGN_IN_URL", "/sign-in")], "whole address"),
        (
            &[LIVE, SATELLITE, domain, ("CLERK_SIGN_IN_URL", "https://app.example.org/in")],
            "own domain",
        ),
        (&[KEY, ("CLERK_FAPI", "a.example"), ("CLERK_FRONTEND_API_URL", "b.example")], "unset one"),
    ] {
        let error = config(vars).expect_err(hint);
        assert!(error.contains("do not fit together") && error.contains(hint), "{error}");
    }
    let sign_in = ("CLERK_SIGN_IN_URL", "https://example.com/sign-in");
    assert!(config(&[KEY, SATELLITE, domain, sign_in]).is_ok());
    assert!(config(&[LIVE, SATELLITE, ("CLERK_PROXY_URL", "/__clerk")]).is_ok());
    let same = [KEY, ("CLERK_FAPI", "a.example"), ("CLERK_FRONTEND_API_URL", "https://a.example")];
    assert!(config(&same).is_ok());
}

#[test]
fn a_production_satellite_has_its_own_issuer_and_api() {
    let domain = ("NEXT_PUBLIC_CLERK_DOMAIN", "app.example.org");
    let live = config(&[LIVE, ("NEXT_PUBLIC_CLERK_IS_SATELLITE", "1"), domain]);
    let live = live.expect("complete");
    assert_eq!(live.issuers(), ["https://clerk.app.example.org"]);
    assert_eq!(live.frontend_api_url().as_str(), "https://clerk.app.example.org/");
    let primary = config(&[LIVE, ("CLERK_IS_SATELLITE", "false"), domain]).expect("complete");
    assert_eq!(primary.issuers(), ["https://clerk.clerk.dev"]);
    let sign_in = ("CLERK_SIGN_IN_URL", "http://localhost:3000/sign-in");
    let local = ("CLERK_DOMAIN", "localhost:3001");
    let test = config(&[KEY, SATELLITE, local, sign_in]).expect("complete");
    assert_eq!(test.issuers(), ["https://clerk.clerk.dev"]);
    assert_eq!(test.frontend_api_url().as_str(), "https://clerk.clerk.dev/");
}

#[test]
fn a_proxy_is_called_by_address_and_shown_by_path() {
    let parties = ("CLERK_AUTHORIZED_PARTIES", "https://example.com");
    let path = config(&[LIVE, parties, ("CLERK_PROXY_URL", "/__clerk")]).expect("complete");
    assert_eq!(path.frontend_api_url().as_str(), "https://clerk.clerk.dev/");
    assert_eq!(path.issuers(), ["https://clerk.clerk.dev", "https://example.com/__clerk"]);
    let proxy = ("CLERK_PROXY_URL", "example.com/__clerk/");
    let address = config(&[LIVE, proxy]).expect("complete");
    assert_eq!(address.frontend_api_url().as_str(), "https://example.com/__clerk/");
    assert_eq!(address.issuers(), ["https://clerk.clerk.dev", "https://example.com/__clerk"]);
    let both = config(&[LIVE, proxy, ("CLERK_FAPI", "inner.example.com")]).expect("complete");
    assert_eq!(both.frontend_api_url().as_str(), "https://inner.example.com/");
    assert!(both.browsers_site().proxy_address().is_some_and(|url| url.path() == "/__clerk/"));
    let fapi = config(&[LIVE, ("CLERK_FAPI", "inner.example.com")]).expect("complete");
    assert!(fapi.browsers_site().has_proxy());
    assert_eq!(fapi.issuers(), ["https://clerk.clerk.dev"]);
}

const GRACE: &str = "CLERK_RESILIENCE_GRACE";
const MAX_GRACE: &str = "CLERK_RESILIENCE_MAX_GRACE";
const BUDGET: &str = "CLERK_RESILIENCE_GRACE_BUDGET";
const DAY_BUDGET: &str = "CLERK_RESILIENCE_GRACE_DAY_BUDGET";
const BOUNDS: [&str; 3] = [MAX_GRACE, BUDGET, DAY_BUDGET];

fn grace(vars: &[(&str, &str)]) -> Result<GracePolicy, String> {
    config(&[&[KEY], vars].concat()).map(|config| config.grace)
}

#[test]
fn grace_follows_its_variable_and_is_off_by_default() {
    for (text, policy) in [
        ("", GracePolicy::disabled()),
        ("off", GracePolicy::disabled()),
        ("report-only", GracePolicy::balanced().report_only()),
        ("balanced", GracePolicy::balanced()),
        (" Available ", GracePolicy::available()),
    ] {
        assert_eq!(grace(&[(GRACE, text)]), Ok(policy), "{text:?}");
    }
    assert_eq!(grace(&[]), Ok(GracePolicy::disabled()));
    for text in ["0", "false", "true", "on", "60min", "strict", "report_only"] {
        let error = grace(&[(GRACE, text)]).expect_err(text);
        assert!(error.starts_with(GRACE) && error.contains("balanced"), "{error}");
    }
}

#[test]
fn grace_bounds_are_spans_and_errors_name_the_variable() {
    let vars = [(GRACE, "balanced"), (MAX_GRACE, "5min"), (BUDGET, "1h"), (DAY_BUDGET, "90min")];
    let expected =
        GracePolicy::balanced().max_grace("5min").episode_budget("1h").day_budget("90min");
    assert_eq!(grace(&vars), Ok(expected));
    for name in BOUNDS {
        for text in ["", " ", "5", "false", "-5m", "1.5", "∞", "unlimited", "60 minuets"] {
            let error = grace(&[(GRACE, "available"), (name, text)]).expect_err(text);
            assert!(error.starts_with(name) && error.contains("unit"), "{name} {text}: {error}");
        }
        for text in ["25h", "5000000000years"] {
            let error = grace(&[(GRACE, "available"), (name, text)]).expect_err(text);
            assert!(error.starts_with(name) && error.contains("24 hours"), "{name}: {error}");
        }
    }
    let error =
        grace(&[(GRACE, "balanced"), (BUDGET, "2h"), (DAY_BUDGET, "1h")]).expect_err("more");
    assert!(error.contains(BUDGET) && error.contains(DAY_BUDGET), "{error}");
}

#[test]
fn zero_is_no_grace_at_all() {
    for zero in ["0", "0s", " 0min "] {
        let policy = grace(&[(GRACE, "balanced"), (MAX_GRACE, zero)]).expect(zero);
        assert!(policy.max_grace.is_zero(), "{zero:?}");
    }
}

#[test]
fn a_bound_without_grace_is_a_contradiction() {
    for name in BOUNDS {
        for off in [&[][..], &[(GRACE, "off")], &[(GRACE, "")]] {
            let error = grace(&[off, &[(name, "5min")]].concat()).expect_err(name);
            assert!(error.contains("do not fit together"), "{error}");
            assert!(error.contains(name) && error.contains(GRACE), "{error}");
        }
    }
}

#[test]
fn ticket_keys_are_read_and_a_bad_one_is_not_shown() {
    let name = "CLERK_RESILIENCE_TICKET_KEYS";
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let two = config(&[KEY, (name, &format!("{key}, {key}"))]).expect("keys");
    assert_eq!(two.tickets.map(|keys| keys.count()), Some(2));
    assert!(config(&[KEY, (name, " ")]).expect("unset").tickets.is_none());
    for text in ["0", "b29wc19zZWNyZXQ=", ",", &format!("{key},")] {
        let error = config(&[KEY, (name, text)]).expect_err(text);
        assert!(error.starts_with(name) && error.contains("openssl"), "{error}");
        assert!(!error.contains("b29wc19z"), "{error}");
    }
}
