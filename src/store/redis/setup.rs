//! Checks of the server's configuration for settings that may lose data.

use redis::cmd;

use super::RedisInner;

impl RedisInner {
    /// Examines the server after each new connection and logs new warnings. A server that does not
    /// reveal its configuration causes no warning.
    pub(super) async fn examine(&self) {
        if !self.link.is_unexamined() {
            return;
        }
        let Some(info) = self.link.told::<String>(&cmd("INFO")).await else { return };
        let saves = self.link.told(cmd("CONFIG").arg("GET").arg("save")).await;
        let saves = saves.and_then(|pair: Vec<String>| pair.into_iter().nth(1));
        let config_warnings = config_warnings(&info, saves.as_deref());
        let mut known = self.config_warnings();
        for doubt in config_warnings.iter().filter(|doubt| !known.contains(doubt)) {
            tracing::warn!(event = "clerk.store.doubt", "the Redis server {doubt}");
        }
        *known = config_warnings;
    }
}

/// Returns sentences without their subject, "the server".
fn config_warnings(info: &str, saves: Option<&str>) -> Vec<String> {
    let said = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let mut config_warnings = Vec::new();
    let policy = said("maxmemory_policy").unwrap_or_default();
    let bounded = said("maxmemory").is_some_and(|bytes| bytes != "0");
    // Other policies evict only keys with an expiry, which no denial has.
    if bounded && policy.starts_with("allkeys-") {
        config_warnings.push(format!("has the maxmemory-policy {policy}: when its memory is full it forgets revocations; set maxmemory-policy noeviction"));
    }
    if said("aof_enabled") == Some("0") {
        let rest = match saves {
            Some("") => "and saves nothing: what it keeps is gone when it restarts",
            Some(_) => "and saves only from time to time: a restart loses what came since",
            None => "and does not say whether it saves: a restart may lose what it keeps",
        };
        config_warnings.push(format!("has appendonly no, {rest}; set appendonly yes"));
    }
    if said("role") == Some("slave") {
        config_warnings.push("is a replica, which takes no writes; name the primary".to_owned());
    }
    config_warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str =
        "role:master\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";

    #[test]
    fn a_durable_server_causes_no_warning() {
        assert!(config_warnings(WELL, Some("")).is_empty());
        let volatile = WELL.replace("noeviction", "volatile-lru");
        assert!(
            config_warnings(&volatile, None).is_empty(),
            "no denial has an end of its own there"
        );
        let unbounded = WELL.replace("noeviction", "allkeys-lru").replace("100", "0");
        assert!(config_warnings(&unbounded, None).is_empty());
        assert!(config_warnings("", None).is_empty(), "who says nothing is not blamed");
    }

    #[test]
    fn a_server_that_may_lose_data_is_named() {
        for (well, ill, word) in [
            ("noeviction", "allkeys-lru", "maxmemory-policy allkeys-lru"),
            ("aof_enabled:1", "aof_enabled:0", "appendonly no"),
            ("role:master", "role:slave", "replica"),
        ] {
            let config_warnings = config_warnings(&WELL.replace(well, ill), Some(""));
            assert!(
                matches!(&config_warnings[..], [doubt] if doubt.contains(word)),
                "{config_warnings:?}"
            );
        }
    }

    #[test]
    fn the_possible_loss_of_a_restart_is_reported() {
        let info = WELL.replace("aof_enabled:1", "aof_enabled:0");
        for (saves, word) in
            [(Some(""), "is gone"), (Some("3600 1"), "came since"), (None, "may lose")]
        {
            assert!(config_warnings(&info, saves)[0].contains(word), "{saves:?}");
        }
    }
}
