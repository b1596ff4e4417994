//! What can be told of a library's file without loading it.
//!
//! Owns: the machine that a file is for, and whether this system has what the file needs: the libraries that it names,
//! their versions, the symbols that it takes from them. Must never: load a file, or run anything of it. The system's
//! loader has the last word when the library is really loaded; this is for those who want to know before.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs,
    path::PathBuf,
};

use object::{
    Endianness, FileKind, Object, ReadRef,
    elf::{DF_1_PIE, DT_FLAGS_1, DT_RPATH, DT_RUNPATH, EM_AARCH64, EM_X86_64, ET_DYN, FileHeader64, Machine},
    read::{
        ExportFlags, ImportFlags, NameOrOrdinal,
        elf::{ElfFile64, FileHeader as _},
    },
};

/// Where the loader notes which libraries there are.
const LOADER_CACHE: &str = "/etc/ld.so.cache";
/// Where the loader looks besides.
const DEFAULT_FOLDERS: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// How many missing symbols are named.
const NAMED: usize = 3;

/// The machine of this host.
const HERE: Option<Machine> = if cfg!(target_arch = "x86_64") {
    Some(EM_X86_64)
} else if cfg!(target_arch = "aarch64") {
    Some(EM_AARCH64)
} else {
    None
};

/// Reads a file that must be a shared library for this machine.
///
/// # Errors
/// One line: it is none, or for another machine.
pub(super) fn parse(file: &[u8]) -> Result<ElfFile64<'_>, String> {
    let no_library = || "not a plugin: not a shared library of this system".to_owned();
    match FileKind::parse(file) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => return Err("built for a 32-bit machine; this host runs on a 64-bit one".to_owned()),
        _ => return Err(no_library()),
    }
    let header = FileHeader64::<Endianness>::parse(file).map_err(|_| no_library())?;
    let endian = header.endian().map_err(|_| no_library())?;
    let machine = header.e_machine(endian);
    let is_for_here =
        HERE.is_none_or(|here| here == machine) && header.is_little_endian() == cfg!(target_endian = "little");
    if !is_for_here {
        let order = if header.is_little_endian() { "little-endian" } else { "big-endian" };
        return Err(format!("built for {order} {}; this host runs on {}", name_of(machine), std::env::consts::ARCH));
    }
    if header.e_type(endian) != ET_DYN {
        return Err(
            "not a plugin: neither a program nor an object file can be loaded, only a shared library".to_owned()
        );
    }
    let elf = ElfFile64::parse(file).map_err(|_| no_library())?;
    let flags = |elf: &ElfFile64<'_>| elf.elf_dynamic_table().ok()?.iter().find(|it| it.tag == DT_FLAGS_1);
    if flags(&elf).is_some_and(|flags| flags.val & DF_1_PIE.0 != 0) {
        return Err("not a plugin: a program, not a shared library".to_owned());
    }
    Ok(elf)
}

fn name_of(machine: Machine) -> String {
    match machine {
        EM_X86_64 => "x86_64".to_owned(),
        EM_AARCH64 => "aarch64".to_owned(),
        other => format!("another machine (ELF number {})", other.0),
    }
}

/// What a library needs and this system does not have, one sentence each. Empty, too, where the system's loader keeps no
/// list of the libraries that there are.
pub(super) fn missing(file: &[u8]) -> Vec<String> {
    let Ok(elf) = parse(file) else { return Vec::new() };
    let Some(system) = System::of(&elf) else { return Vec::new() };
    let mut missing: Vec<String> = system
        .absent
        .iter()
        .map(|(library, by)| format!("it needs the library {library}{by}, which this system does not have"))
        .collect();
    let (mut versions, mut symbols) = (Vec::new(), Vec::new());
    for import in elf.imports().into_iter().flatten().flatten().filter(|import| !import.is_weak()) {
        let NameOrOrdinal::Name(name) = import.name() else { continue };
        let ImportFlags::Elf { version, .. } = import.flags() else { continue };
        let library = text(import.library());
        match version.map(text).zip(system.present.get(&library)) {
            Some((version, there)) if !there.versions.contains(&version) => {
                let newest =
                    there.newest(&version).map_or_else(String::new, |it| format!("; the one here has {it} at most"));
                let sentence = format!("it needs {version} of {library}{newest}");
                if !versions.contains(&sentence) {
                    versions.push(sentence);
                }
            }
            // What a library that is not there would have is not known.
            None if !system.absent.is_empty() => {}
            _ if system.symbols.contains(name) => {}
            _ => symbols.push(text(name)),
        }
    }
    missing.append(&mut versions);
    if !symbols.is_empty() {
        let more = symbols.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let symbols = symbols[..symbols.len().min(NAMED)].join(", ");
        missing.push(format!("it needs {symbols}{more}, which no library that it names has"));
    }
    missing
}

/// One of the system's libraries.
#[derive(Default)]
struct SystemLibrary {
    versions: HashSet<String>,
}

impl SystemLibrary {
    /// The newest version with the same name: of `GLIBC_2.99` it may be `GLIBC_2.36`.
    fn newest(&self, wanted: &str) -> Option<&String> {
        let (name, _) = wanted.split_once('_')?;
        let number = |version: &String| -> Option<Vec<u32>> {
            let (its_name, number) = version.split_once('_')?;
            if its_name != name {
                return None;
            }
            number.split('.').map(|part| part.parse().ok()).collect()
        };
        self.versions.iter().filter(|it| number(it).is_some()).max_by_key(|it| number(it))
    }
}

/// What this system has of what a library needs.
#[derive(Default)]
struct System {
    present: HashMap<String, SystemLibrary>,
    /// Each with the library that needs it, where that is not the plugin itself.
    absent: Vec<(String, String)>,
    symbols: HashSet<Vec<u8>>,
}

impl System {
    /// Looks for all that a library needs, and for what this program has brought with it.
    fn of(library: &ElfFile64<'_>) -> Option<Self> {
        let cache = loader_cache()?;
        let folders = run_paths(library);
        let mut system = Self::default();
        let mut wanted: VecDeque<(String, String)> = needs(library).map(|it| (it, String::new())).collect();
        let own = std::env::current_exe().ok().and_then(|path| fs::read(path).ok());
        if let Some(own) = own.as_deref().and_then(|own| ElfFile64::<Endianness>::parse(own).ok()) {
            wanted.extend(needs(&own).map(|it| (it, String::new())));
        }
        while let Some((name, by)) = wanted.pop_front() {
            if system.present.contains_key(&name) || system.absent.iter().any(|(absent, _)| *absent == name) {
                continue;
            }
            let in_cache = cache.iter().filter(|(cached, _)| *cached == name).map(|(_, path)| path.clone());
            let in_folders = folders.iter().map(PathBuf::from).chain(DEFAULT_FOLDERS.map(PathBuf::from));
            let paths = in_cache.chain(in_folders.map(|folder| folder.join(&name)));
            let content = paths.filter_map(|path| fs::read(path).ok()).find(|content| parse(content).is_ok());
            let Some(content) = content else {
                system.absent.push((name, by));
                continue;
            };
            if let Ok(elf) = parse(&content) {
                wanted.extend(needs(&elf).map(|it| (it, format!(" (of {name})"))));
                system.add(name, &elf);
            }
        }
        Some(system)
    }

    fn add(&mut self, name: String, elf: &ElfFile64<'_>) {
        let library = self.present.entry(name).or_default();
        for export in elf.exports().into_iter().flatten().flatten() {
            if let ExportFlags::Elf { version: Some(version), .. } = export.flags() {
                library.versions.insert(text(version));
            }
            if let NameOrOrdinal::Name(name) = export.name() {
                self.symbols.insert(name.to_vec());
            }
        }
    }
}

fn needs<'a>(elf: &'a ElfFile64<'_>) -> impl Iterator<Item = String> + 'a {
    elf.import_libraries().into_iter().flatten().flatten().map(|library| text(library.name()))
}

/// The folders that a library itself names. Those beside it are not there in the plugin store.
fn run_paths(elf: &ElfFile64<'_>) -> Vec<String> {
    let Ok(dynamic) = elf.elf_dynamic_table() else { return Vec::new() };
    let paths = dynamic.iter().filter(|it| it.tag == DT_RUNPATH || it.tag == DT_RPATH);
    let paths: Vec<String> = paths.filter_map(|it| dynamic.string(it).ok()).map(text).collect();
    paths.iter().flat_map(|paths| paths.split(':')).filter(|path| path.starts_with('/')).map(str::to_owned).collect()
}

/// The libraries that the system's loader knows, each with its path; `None`: it keeps no list that can be read.
fn loader_cache() -> Option<Vec<(String, PathBuf)>> {
    /// What the list begins with, after what glibc before 2.32 kept in front of it.
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let file = fs::read(LOADER_CACHE).ok()?;
    let start = file.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let cache = &file[start..];
    let number = |at: usize| Some(u32::from_ne_bytes(cache.get(at..at + 4)?.try_into().ok()?) as usize);
    let string = |at: usize| Some(text(cache.read_bytes_at_until(at as u64..cache.len() as u64, 0).ok()?));
    let count = number(MAGIC.len())?;
    let entries = (0..count).map_while(|index| {
        let at = HEADER + index * ENTRY;
        Some((string(number(at + 4)?)?, PathBuf::from(string(number(at + 8)?)?)))
    });
    Some(entries.collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
