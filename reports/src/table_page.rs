//! What the pages of tables share: one file, nothing from elsewhere, no script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const CSS: &str = include_str!("../assets/report.css");
const OWN: &str = include_str!("../assets/table.css");
/// No request is ever made, and no script runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A whole page around its bar and what is below it.
pub fn table_page(title: &str, bar: &Markup, main: &Markup, footer: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(CSS)) (PreEscaped(OWN)) }
            }
            body.wide {
                (bar)
                main { (main) }
                footer { (footer) }
            }
        }
    };
    page.into_string()
}
