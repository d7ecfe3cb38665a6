//! Required features of a repository as reports have them.

use haulout::repo::FeatureAbout;
use haulout::repo::Features;
use serde::Serialize;

use crate::output::phrases::fact;
use crate::output::text::clean;

/// A feature in a JSON report.
#[derive(Debug, Serialize)]
pub(crate) struct Feature {
    bit: u32,
    what: &'static str,
}

impl From<&FeatureAbout> for Feature {
    fn from(about: &FeatureAbout) -> Self {
        Self { bit: about.bit, what: about.what }
    }
}

/// Returns the numbers of the bits, as JSON reports have them.
pub(crate) fn bits(features: Features) -> Vec<u32> {
    features.bits().collect()
}

/// Formats the features, a line for each.
pub(crate) fn lines(features: Features) -> String {
    let line = |about: &FeatureAbout| fact("feature", &format!("{}, {}", about.bit, about.what));
    features.described().map(line).collect()
}

/// Returns the first version of the program that knows all of these features, `None` if there are
/// none.
pub(crate) fn needs(features: Features) -> Option<String> {
    features.described().map(|about| about.since).max().map(|version| version.to_string())
}

/// Formats what setting these features means for other versions.
pub(crate) fn needs_line(features: Features) -> String {
    needs(features).map_or_else(String::new, |version| {
        let text = format!("haulout {version} or newer on every host: earlier versions refuse it");
        fact("needs", &text)
    })
}

/// Says which versions stop working in a repository that gets a feature.
pub(crate) fn refused_before(place: &str, version: &str) -> String {
    format!("haulout before {version} will refuse {} on every host", clean(place))
}
