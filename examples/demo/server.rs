//! The application alone, beside a Clerk that is there.

use std::time::Duration;

use clerk_resilience::{ClerkConfig, ClerkResilience, GracePolicy};
use demo_support::app::Notes;
use url::Url;

use crate::protected::Protected;
use crate::{Trouble, serve};

pub(crate) async fn run(
    clerk_url: Option<Url>,
    port: u16,
    span: Option<Duration>,
) -> Result<(), Trouble> {
    let builder = ClerkResilience::builder(config(clerk_url)?).grace(GracePolicy::balanced());
    let listener = serve::bind(port).await?;
    let app = Protected::start(builder, Notes::default())?;
    serve::serve(listener, app.router.clone(), span).await?;
    app.end().await;
    Ok(())
}

/// The environment's, with everything that it leaves open at the given address. Clerk's own status
/// page says nothing of a host that is not Clerk's.
fn config(clerk_url: Option<Url>) -> Result<ClerkConfig, Trouble> {
    let mut config = ClerkConfig::from_env()?;
    let open = |name| std::env::var(name).map_or(true, |text| text.trim().is_empty());
    if let Some(url) = clerk_url {
        if open("CLERK_API_URL") {
            config = config.backend_api(url.clone());
        }
        if open("CLERK_RESILIENCE_STATUS_URL") {
            config = config.status_page(None);
        }
        config = config.frontend_api(url);
    }
    Ok(config)
}
