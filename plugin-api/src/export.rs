//! [`export_adapter!`](crate::export_adapter): what makes a library of a vendor's crate that a host can load.
//!
//! Owns: the text in the file's link section, the instances of a loaded library, and the first moments of each. Must
//! never: let a vendor see a type of the binary interface.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Manifest, logs,
    runtime::Plugin,
    wire::{Hello, MessageSink},
};

/// The name of the link section with a library's manifest.
pub const SECTION: &str = ".jackfield_manifest";

/// What stands in the link section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Section {
    /// The version of the plugin API that the library was built with.
    pub api: String,
    /// The name of the library's package.
    pub package: String,
    /// The version of the library's package.
    pub version: String,
    /// What a panic does in it: `unwind` or `abort`.
    pub panic: String,
    /// The manifest as the vendor wrote it.
    pub manifest: Manifest,
}

impl Section {
    /// Reads the section's text; the manifest gets the package's version.
    ///
    /// # Errors
    /// The text is not what `export_adapter!` writes, or the manifest lacks a member.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let mut section: Self = serde_json::from_str(text)?;
        section.manifest.version.clone_from(&section.version);
        Ok(section)
    }
}

/// What `export_adapter!` says of an adapter. Not for vendors.
pub trait Export: 'static {
    /// The adapter.
    type Adapter: Adapter;
    /// The threads of its runtime.
    const THREADS: usize;
    /// The text in the link section.
    fn section() -> &'static str;
    /// The instances of this library.
    fn instances() -> &'static Instances<Self::Adapter>;
}

/// The instances of one loaded library: one, unless a host loads the same file twice.
pub struct Instances<A: Adapter>(RwLock<Vec<&'static Plugin<A>>>);

impl<A: Adapter> Instances<A> {
    /// None yet.
    #[allow(clippy::new_without_default)] // const, for a static
    #[must_use]
    pub const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    /// Starts one; its number, or 0.
    pub(crate) fn create<E: Export<Adapter = A>>(&self, host: Arc<dyn MessageSink>, hello: &str) -> usize {
        let hello: Hello = serde_json::from_str(hello).unwrap_or_default();
        logs::forward_to(Arc::clone(&host), hello.log);
        let plugin = Section::read(E::section())
            .map_err(std::io::Error::other)
            .and_then(|section| Plugin::start(section.manifest, E::THREADS, host));
        let plugin = match plugin {
            Ok(plugin) => plugin,
            Err(error) => {
                tracing::error!("the adapter cannot be made: {error}");
                return 0;
            }
        };
        let mut instances = self.0.write();
        // Never freed: the library is never unloaded, and the host's calls need no count this way.
        instances.push(Box::leak(Box::new(plugin)));
        instances.len()
    }

    pub(crate) fn get(&self, instance: usize) -> Option<&'static Plugin<A>> {
        let instances = self.0.read();
        instances.get(instance.checked_sub(1)?).copied()
    }
}

const PIECES: [&str; 5] =
    ["{\"api\":\"", "\",\"package\":\"", "\",\"version\":\"", "\",\"panic\":\"", "\",\"manifest\":"];

/// The length of [`section_text`].
#[must_use]
pub const fn section_len(package: &str, version: &str, panic: &str, manifest: &str) -> usize {
    let mut length = crate::abi::API_VERSION.len() + package.len() + version.len() + panic.len() + manifest.len() + 1;
    let mut at = 0;
    while at < PIECES.len() {
        length += PIECES[at].len();
        at += 1;
    }
    length
}

/// The text for the link section. Names and versions of packages need no escaping.
#[must_use]
pub const fn section_text<const N: usize>(package: &str, version: &str, panic: &str, manifest: &str) -> [u8; N] {
    let values = [crate::abi::API_VERSION, package, version, panic, manifest];
    let mut text = [b'}'; N];
    let (mut to, mut at) = (0, 0);
    while at < PIECES.len() {
        to = put(&mut text, to, PIECES[at]);
        to = put(&mut text, to, values[at]);
        at += 1;
    }
    text
}

const fn put<const N: usize>(text: &mut [u8; N], at: usize, piece: &str) -> usize {
    let (_, rest) = text.split_at_mut(at);
    let (here, _) = rest.split_at_mut(piece.len());
    here.copy_from_slice(piece.as_bytes());
    at + piece.len()
}

/// The text back as a text.
#[must_use]
pub const fn as_text(text: &'static [u8]) -> &'static str {
    match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => panic!("put together from texts"),
    }
}

/// Makes a loadable library of this crate, whose `crate-type` must contain `cdylib`. Once a crate.
///
/// ```ignore
/// jackfield_plugin_api::export_adapter!(MyAdapter, manifest = "../manifest.json");
/// jackfield_plugin_api::export_adapter!(MyAdapter, manifest = "../manifest.json", threads = 2);
/// ```
///
/// `manifest` is the path of the [`Manifest`](crate::Manifest) as JSON, relative to the source file; its version is
/// filled in from the crate's. A constant text can be given instead: `manifest_text = MANIFEST`. `threads` is the number
/// of threads of the plugin's runtime, 1 unless given: one is enough for an adapter that only waits for its platform.
#[macro_export]
macro_rules! export_adapter {
    ($adapter:ty, manifest = $manifest:literal $(, threads = $threads:literal)? $(,)?) => {
        $crate::export_adapter!($adapter, manifest_text = ::core::include_str!($manifest) $(, threads = $threads)?);
    };
    ($adapter:ty, manifest_text = $manifest:expr $(,)?) => {
        $crate::export_adapter!($adapter, manifest_text = $manifest, threads = 1);
    };
    ($adapter:ty, manifest_text = $manifest:expr, threads = $threads:literal $(,)?) => {
        const _: () = {
            use $crate::{abi, export};

            const PACKAGE: &str = ::core::env!("CARGO_PKG_NAME");
            const VERSION: &str = ::core::env!("CARGO_PKG_VERSION");
            const PANIC: &str = if ::core::cfg!(panic = "abort") { "abort" } else { "unwind" };
            const TEXT: &str = $manifest;
            const LENGTH: usize = export::section_len(PACKAGE, VERSION, PANIC, TEXT);

            // SAFETY: a section of this library's own, which the loader does not interpret; read-only bytes.
            #[used]
            #[unsafe(link_section = ".jackfield_manifest")]
            static SECTION: [u8; LENGTH] = export::section_text(PACKAGE, VERSION, PANIC, TEXT);

            static INSTANCES: export::Instances<$adapter> = export::Instances::new();

            struct Exported;

            impl export::Export for Exported {
                type Adapter = $adapter;
                const THREADS: usize = $threads;

                fn section() -> &'static str {
                    export::as_text(&SECTION)
                }

                fn instances() -> &'static export::Instances<$adapter> {
                    &INSTANCES
                }
            }

            // SAFETY: the name that the loader looks for, `abi::HEADER_SYMBOL`; a library has one `export_adapter!`, so
            // one such symbol.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static HEADER: abi::Header = abi::header::<Exported>();
        };
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_section_says_who_built_it_with_what() {
        const MANIFEST: &str =
            r#"{"id":"a","vendor":"v","platform":"p","channelTypes":[],"commands":[],"settings":{}}"#;
        const LENGTH: usize = section_len("pack", "1.2.3", "unwind", MANIFEST);
        let text: [u8; LENGTH] = section_text("pack", "1.2.3", "unwind", MANIFEST);
        let section = Section::read(std::str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!((section.api.as_str(), section.package.as_str()), (crate::abi::API_VERSION, "pack"));
        assert_eq!((section.manifest.id.as_str(), section.manifest.version.as_str()), ("a", "1.2.3"));
    }
}
