//! What a plugin's file says of itself, read without running any of its code.
//!
//! Owns: finding the link section in the bytes of a file and judging what stands there. Must never: load the file.

use jackfield_plugin_api::{abi, export};
use object::{Object, ObjectSection, read::elf::ElfFile64};

/// No manifest is longer.
const MAX_SECTION: usize = 1 << 20;

/// Reads the link section of a library.
///
/// # Errors
/// One line that says why this is no plugin, or not one for this host.
pub(super) fn read(file: &[u8]) -> Result<(export::Section, String), String> {
    let elf: ElfFile64<'_> =
        ElfFile64::parse(file).map_err(|_| "not a plugin: not a shared library of this system".to_owned())?;
    let section = elf
        .section_by_name(export::SECTION)
        .ok_or_else(|| "not a plugin: a shared library without a manifest section".to_owned())?;
    let bytes = section.data().map_err(|error| format!("its manifest section cannot be read: {error}"))?;
    if bytes.len() > MAX_SECTION {
        return Err(format!("its manifest section is longer than {MAX_SECTION} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "its manifest section is not a text".to_owned())?;
    Ok((judge(text)?, text.to_owned()))
}

/// Reads the text of a link section and checks all that can be checked by reading.
pub(super) fn judge(text: &str) -> Result<export::Section, String> {
    // The version first: another major version may have another form.
    #[derive(serde::Deserialize)]
    struct Version {
        api: String,
    }
    let version: Version = serde_json::from_str(text).map_err(|error| format!("its manifest section: {error}"))?;
    if abi::compare(&version.api, abi::API_VERSION) == abi::Relation::Other {
        return Err(abi::other_version(&version.api).reason);
    }
    let section = export::Section::read(text).map_err(|error| format!("its manifest: {error}"))?;
    match section.manifest.check().first() {
        Some(wrong) => Err(format!("its manifest: {wrong}")),
        None => Ok(section),
    }
}
