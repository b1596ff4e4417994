//! The binary interface between a host and a plugin: the only file that names `abi_stable`.
//!
//! Owns: the root module of a plugin's file and the host's half of it, the check that both sides mean the same by them,
//! and the calls across. One call each way, `submit` to the plugin and `emit` to the host; neither blocks, and
//! [`wire`](crate::wire) says what goes through. Must never: be named by a vendor, or grow a type that is not frozen;
//! both structures are prefix types, so a later minor version appends members and the older side does not see them.

#![allow(unsafe_code)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::check_layout_compatibility,
    library::{AbiHeaderRef, CheckTypeLayout, LibHeader, RootModule, RootModuleResult},
    package_version_strings,
    prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
    std_types::RStr,
};
use parking_lot::RwLock;

use crate::{
    export::Export,
    wire::{Kind, MessageSink, Status},
};

/// What a plugin's file exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRef, prefix_fields = ModulePrefix)))]
#[sabi(missing_field(option))]
pub struct Module {
    /// The version of the plugin API that the plugin was built with, as its package says it.
    pub api_version: extern "C" fn() -> RStr<'static>,
    /// The same text as in the file's link section.
    pub manifest: extern "C" fn() -> RStr<'static>,
    /// Makes an instance that talks to this host; 0: it could not be made. `hello` is [`Hello`](crate::wire::Hello).
    pub create: extern "C" fn(host: HostRef, context: usize, hello: RStr<'_>) -> usize,
    /// Hands a message to an instance.
    pub submit: extern "C" fn(instance: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32,
    /// Ends an instance: its tasks are dropped, its threads end as soon as they can.
    #[sabi(last_prefix_field)]
    pub close: extern "C" fn(instance: usize),
}

/// What a plugin may call.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef, prefix_fields = HostPrefix)))]
#[sabi(missing_field(option))]
pub struct Host {
    /// Hands a message to the host. `context` is what the host gave to `create`.
    #[sabi(last_prefix_field)]
    pub emit: extern "C" fn(context: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32,
}

impl RootModule for ModuleRef {
    abi_stable::declare_root_module_statics! {ModuleRef}
    const BASE_NAME: &'static str = "jackfield_plugin";
    const NAME: &'static str = "jackfield_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// The version of the plugin API in this build.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

// ---------------------------------------------------------------------------------------------------------------------
// The plugin's half.

/// The type of the static that `export_adapter!` defines.
pub use abi_stable::library::LibHeader as Header;

/// The static that a plugin's file exports under the name of [`HEADER_SYMBOL`].
#[must_use]
pub const fn header<E: Export>() -> LibHeader {
    // SAFETY: `root_module` returns a `ModuleRef`, erased by abi_stable's own `__call_root_module_loader`.
    unsafe { LibHeader::from_constructor::<ModuleRef>(root_module::<E>, CheckTypeLayout::Yes) }
}

extern "C" fn root_module<E: Export>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(|| {
        Module {
            api_version: api_version_entry,
            manifest: manifest_entry::<E>,
            create: create_entry::<E>,
            submit: submit_entry::<E>,
            close: close_entry::<E>,
        }
        .leak_into_prefix()
    })
}

extern "C" fn api_version_entry() -> RStr<'static> {
    RStr::from_str(API_VERSION)
}

extern "C" fn manifest_entry<E: Export>() -> RStr<'static> {
    RStr::from_str(E::section())
}

extern "C" fn create_entry<E: Export>(host: HostRef, context: usize, hello: RStr<'_>) -> usize {
    let hello = hello.as_str();
    catch_unwind(|| E::instances().create::<E>(Arc::new(AbiHost { host, context }), hello)).unwrap_or(0)
}

extern "C" fn submit_entry<E: Export>(instance: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32 {
    let payload = payload.as_str();
    let submit = || E::instances().get(instance).map_or(Status::CLOSED, |it| it.submit(Kind(kind), id, payload));
    catch_unwind(AssertUnwindSafe(submit)).unwrap_or(Status::REFUSED).0
}

extern "C" fn close_entry<E: Export>(instance: usize) {
    let close = || {
        if let Some(it) = E::instances().get(instance) {
            it.close();
        }
    };
    // Nothing can be told to anyone any more; the guard is all that is wanted.
    let _ = catch_unwind(AssertUnwindSafe(close));
}

/// The host, as the plugin reaches it.
struct AbiHost {
    host: HostRef,
    context: usize,
}

impl MessageSink for AbiHost {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        Status((self.host.emit())(self.context, kind.0, id, RStr::from_str(payload)))
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The host's half.

/// The name of the static that a plugin's file exports, with the NUL that the loader wants.
pub const HEADER_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME_WITH_NUL;

/// Why a file that exports the right symbol cannot be used.
#[derive(Debug)]
pub struct Incompatible {
    /// One line for the operator.
    pub reason: String,
    /// All that the check of the layouts found; for a debug log.
    pub detail: String,
}

/// A plugin whose interface has been checked.
#[derive(Clone, Copy)]
pub struct Checked {
    module: ModuleRef,
}

/// Checks that a plugin's file and this build mean the same by the interface.
///
/// # Errors
/// They do not; the reason is one line that says what differs.
///
/// # Safety
/// `symbol` must be the address of [`HEADER_SYMBOL`] in a shared library that is never unloaded.
pub unsafe fn negotiate(symbol: *const ()) -> Result<Checked, Incompatible> {
    // SAFETY: every version of abi_stable begins the exported static with an `AbiHeader`, and an `AbiHeaderRef` is a
    // reference to one. That the header is what it should be is checked by `upgrade` before anything else is read.
    let header: AbiHeaderRef = unsafe { std::mem::transmute(symbol) };
    let header = header.upgrade().map_err(|error| Incompatible {
        reason: "its binary interface is not that of a Jackfield plugin".to_owned(),
        detail: error.to_string(),
    })?;
    let plugin = header.version_strings().version.as_str();
    match compare(plugin, API_VERSION) {
        Relation::Other => return Err(other_version(plugin)),
        relation => check_layouts(header, relation == Relation::Older, plugin)?,
    }
    // SAFETY: `check_layouts` has just found the layouts compatible, in the direction in which the older side is the
    // interface. Members of prefix types that the other side lacks read as `None`.
    let module = unsafe { header.init_root_module_with_unchecked_layout::<ModuleRef>() };
    let module = module.map_err(|error| Incompatible {
        reason: "its root module cannot be made".to_owned(),
        detail: error.to_string(),
    })?;
    Ok(Checked { module })
}

/// Checks the layouts with the older side as the interface that the newer one must have at least; abi_stable's own
/// order of arguments would refuse every plugin older than the host.
fn check_layouts(header: &'static LibHeader, plugin_is_older: bool, plugin: &str) -> Result<(), Incompatible> {
    let ours = <ModuleRef as StableAbi>::LAYOUT;
    let Some(theirs) = header.layout() else {
        return Err(Incompatible {
            reason: "it says nothing of its binary interface".to_owned(),
            detail: String::new(),
        });
    };
    let result = if plugin_is_older {
        check_layout_compatibility(theirs, ours)
    } else {
        check_layout_compatibility(ours, theirs)
    };
    result.map_err(|errors| Incompatible {
        reason: format!(
            "built for plugin API {plugin}, but its binary interface is not that of this host's {API_VERSION}"
        ),
        detail: errors.to_string(),
    })
}

/// The line for a plugin of another major version.
#[must_use]
pub fn other_version(plugin: &str) -> Incompatible {
    Incompatible {
        reason: format!("built for plugin API {}; this host speaks {}", major_minor(plugin), spoken()),
        detail: String::new(),
    }
}

fn spoken() -> String {
    match version(API_VERSION) {
        Some((major, 0)) => format!("{major}.0"),
        Some((major, minor)) => format!("{major}.0 to {major}.{minor}"),
        None => API_VERSION.to_owned(),
    }
}

fn major_minor(text: &str) -> String {
    version(text).map_or_else(|| format!("{text:?}"), |(major, minor)| format!("{major}.{minor}"))
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What a plugin's API version is to the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Of the same minor version.
    Same,
    /// Of an earlier minor version.
    Older,
    /// Of a later minor version.
    Newer,
    /// Of another major version, or not a version.
    Other,
}

/// Compares a plugin's API version with the host's.
#[must_use]
pub fn compare(plugin: &str, host: &str) -> Relation {
    match (version(plugin), version(host)) {
        (Some(plugin), Some(host)) if plugin.0 == host.0 => match plugin.1.cmp(&host.1) {
            std::cmp::Ordering::Less => Relation::Older,
            std::cmp::Ordering::Equal => Relation::Same,
            std::cmp::Ordering::Greater => Relation::Newer,
        },
        _ => Relation::Other,
    }
}

impl Checked {
    /// The API version that the plugin was really built with.
    #[must_use]
    pub fn api_version(&self) -> &'static str {
        (self.module.api_version())().as_str()
    }

    /// What the plugin itself says its manifest section is.
    #[must_use]
    pub fn manifest(&self) -> &'static str {
        (self.module.manifest())().as_str()
    }

    /// Makes an instance; `None` when the plugin cannot.
    #[must_use]
    pub fn create(self, host: Arc<dyn MessageSink>, hello: &str) -> Option<Instance> {
        // The instance may call as long as the process lives, so what it calls is never freed: one small cell for
        // each instance, emptied when the instance is closed.
        let cell: &'static HostCell = Box::leak(Box::new(HostCell(RwLock::new(Some(host)))));
        let host = Host { emit: emit_entry }.leak_into_prefix();
        let context = std::ptr::from_ref(cell).expose_provenance();
        let instance = (self.module.create())(host, context, RStr::from_str(hello));
        if instance == 0 {
            // The cell stays: the plugin may have kept its address all the same, to log.
            cell.empty();
            return None;
        }
        Some(Instance { module: self.module, instance, cell })
    }
}

struct HostCell(RwLock<Option<Arc<dyn MessageSink>>>);

impl HostCell {
    /// Nobody is reached through it any more.
    fn empty(&self) {
        let host = self.0.write().take();
        // Not under the lock: what ends with the host may come back here.
        drop(host);
    }
}

extern "C" fn emit_entry(context: usize, kind: u32, id: u64, payload: RStr<'_>) -> u32 {
    // SAFETY: `context` is the address of a `HostCell` that `Checked::create` leaked; a plugin passes on what it got.
    let cell: &'static HostCell = unsafe { &*std::ptr::with_exposed_provenance::<HostCell>(context) };
    let payload = payload.as_str();
    let emit = || {
        // Cloned, so that the lock is not held while the host works: it may close the instance in there.
        let host = cell.0.read().clone();
        host.map_or(Status::CLOSED, |host| host.send(Kind(kind), id, payload))
    };
    catch_unwind(AssertUnwindSafe(emit)).unwrap_or(Status::REFUSED).0
}

/// A running plugin; dropping it closes it.
pub struct Instance {
    module: ModuleRef,
    instance: usize,
    cell: &'static HostCell,
}

impl MessageSink for Instance {
    fn send(&self, kind: Kind, id: u64, payload: &str) -> Status {
        Status((self.module.submit())(self.instance, kind.0, id, RStr::from_str(payload)))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.cell.empty();
        (self.module.close())(self.instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl MessageSink for Deaf {
        fn send(&self, _: Kind, _: u64, _: &str) -> Status {
            Status::REFUSED
        }
    }

    extern "C" fn create_nothing(_: HostRef, _: usize, _: RStr<'_>) -> usize {
        0
    }

    extern "C" fn take_nothing(_: usize, _: u32, _: u64, _: RStr<'_>) -> u32 {
        Status::CLOSED.0
    }

    extern "C" fn close_nothing(_: usize) {}

    #[test]
    fn a_plugin_that_cannot_be_made_keeps_nothing_of_the_host() {
        let module = Module {
            api_version: api_version_entry,
            manifest: api_version_entry,
            create: create_nothing,
            submit: take_nothing,
            close: close_nothing,
        };
        let checked = Checked { module: module.leak_into_prefix() };
        let host = Arc::new(Deaf);
        assert!(checked.create(Arc::clone(&host) as Arc<dyn MessageSink>, "{}").is_none());
        assert_eq!(Arc::strong_count(&host), 1);
    }

    #[test]
    fn versions_are_compared_by_major_and_minor() {
        assert_eq!(compare("1.2.9", "1.2.0"), Relation::Same);
        assert_eq!(compare("1.1.0", "1.10.0"), Relation::Older);
        assert_eq!(compare("1.11.0", "1.10.0"), Relation::Newer);
        assert_eq!(compare("2.0.0", "1.0.0"), Relation::Other);
        assert_eq!(compare("nonsense", "1.0.0"), Relation::Other);
    }

    #[test]
    fn another_major_version_is_told_in_one_line() {
        assert_eq!(other_version("2.0.0").reason, "built for plugin API 2.0; this host speaks 1.0 to 1.1");
    }
}
