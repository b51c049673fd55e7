//! Which of several images is meant.

use std::path::PathBuf;

use crate::platform::Platform;

/// Which of several images is meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// The one of this name, tag or digest.
    pub name: Option<String>,
    /// The one for this machine, alone.
    pub platform: Option<Platform>,
}

/// Why none of them is.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// No image of the name that was asked for.
    #[error("`{path}` has no image named `{name}`: {}", one_of(.names))]
    NoSuchName {
        /// The list of images.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// No image for the machine that was asked for.
    #[error("`{path}` has no image for {platform}: {}", one_of(.offered))]
    NoSuchPlatform {
        /// The list of images.
        path: PathBuf,
        /// What was asked for.
        platform: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// Several images, and none was named.
    #[error("`{path}` holds several images, say which with --select: {}", one_of(.names))]
    Several {
        /// The list of images.
        path: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
}

/// What could have been asked for.
fn one_of(names: &[String]) -> String {
    match names {
        [] => "its images have no names".to_owned(),
        [only] => format!("there is `{only}`"),
        several => {
            let shown: Vec<&str> = several.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect();
            let more = if several.len() > NAMES_SHOWN_MAX { "`, …" } else { "`" };
            format!("there are `{}{more}", shown.join("`, `"))
        }
    }
}

/// Names that are shown at most.
const NAMES_SHOWN_MAX: usize = 20;
