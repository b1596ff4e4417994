//! Files that are plugins, files that are none, and several of them side by side.

use jackfield::plugin::{Trust, describe};
use jackfield_plugin_api::Outcome;
use jackfield_tests::artifacts::{UNLOADABLE, patched as patch};
use serde_json::json;

use crate::{
    support::{Desk, Place, bytes, odd_library},
    variants,
};

/// Loads a file that must be refused; the one line that says why.
async fn refusal(place: &Place, name: &str, content: &[u8]) -> String {
    let path = place.file(name, content);
    let error = place.libraries().load(&path).await.unwrap_err().to_string();
    assert!(error.starts_with(&*path.to_string_lossy()), "it names the file: {error}");
    assert_eq!(error.lines().count(), 1, "it is one line: {error}");
    error
}

#[tokio::test]
async fn files_that_are_no_plugins_are_refused_by_name_in_one_line() {
    let place = Place::new();
    for (name, content) in [
        ("empty.so", Vec::new()),
        ("text.so", b"not a library at all".to_vec()),
        ("cut.so", bytes(&odd_library())[..4096].to_vec()),
        ("program", bytes(&std::env::current_exe().unwrap())),
    ] {
        // This test's own program has the manifest of the odd adapter linked in, but is not a shared library.
        let error = refusal(&place, name, &content).await;
        assert!(error.contains("not a plugin") || error.contains("loader refuses"), "{error}");
    }
    let nothing = place.libraries().load(&place.directory.join("nothing.so")).await.unwrap_err().to_string();
    assert!(nothing.contains("nothing.so: cannot be read"), "{nothing}");
    let folder = place.libraries().load(&place.directory).await.unwrap_err().to_string();
    assert!(folder.contains("not a file"), "{folder}");
}

#[tokio::test]
async fn a_library_for_another_machine_is_refused_before_it_is_loaded() {
    let place = Place::new();
    // Where the ELF header says it: class, byte order, type, machine.
    for (at, value, says) in
        [(4, 1, "32-bit"), (5, 2, "big-endian"), (16, 1, "only a shared library"), (18, 243, "ELF number 243")]
    {
        let mut other = bytes(&odd_library());
        other[at] = value;
        let error = refusal(&place, "other.so", &other).await;
        assert!(error.contains(says), "{says} is not in {error}");
        let path = place.file("other.so", &other);
        assert!(place.libraries().install(&path).await.unwrap_err().reason.contains(says));
    }
}

#[tokio::test]
async fn what_a_library_lacks_on_this_system_is_told_before_and_by_the_loader() {
    let place = Place::new();
    let odd = bytes(&odd_library());
    assert_eq!(describe(&place.file("good.so", &odd), &Trust::default()).unwrap().missing, Vec::<String>::new());
    for (old, new, before, by_the_loader) in UNLOADABLE {
        let broken = patch(&odd, old, new);
        let error = refusal(&place, "broken.so", &broken).await;
        assert!(error.contains(by_the_loader), "{by_the_loader} is not in {error}");
        let path = place.file("broken.so", &broken);
        let missing = describe(&path, &Trust::default()).unwrap().missing;
        assert!(missing.iter().any(|it| it.starts_with(before)), "{before} is not in {missing:?}");
        let refused = place.libraries().install(&path).await.unwrap_err().reason;
        assert!(refused.contains(before), "{before} is not in {refused}");
    }
}

#[tokio::test]
async fn a_shared_library_without_a_manifest_is_refused_without_being_loaded() {
    let place = Place::new();
    let without = patch(&bytes(&odd_library()), ".jackfield_manifest", ".jackfield_m-nifest");
    assert!(refusal(&place, "without.so", &without).await.contains("without a manifest section"));
}

#[tokio::test]
async fn a_manifest_that_is_wrong_is_refused_with_what_is_wrong() {
    let place = Place::new();
    let odd = bytes(&odd_library());
    let broken = patch(&odd, "\"vendor\": \"Jackfield\"", "\"vendor\": \"Jackfield ");
    assert!(refusal(&place, "broken.so", &broken).await.contains("its manifest"));
    let strange = patch(&odd, "\"channel.request.ready\"", "\"channel.request.fancy\"");
    assert!(refusal(&place, "strange.so", &strange).await.contains("channel.request.fancy"));
}

#[tokio::test]
async fn a_library_that_aborts_on_panics_is_refused() {
    let place = Place::new();
    let aborts = patch(&bytes(&odd_library()), "\"panic\":\"unwind\"", "\"panic\":\"abort\" ");
    assert!(refusal(&place, "aborts.so", &aborts).await.contains("panic=abort"));
}

#[tokio::test]
async fn a_library_that_lies_about_its_version_is_refused_when_it_is_loaded() {
    let place = Place::new();
    let newer = patch(&bytes(&variants::all().odd_for_1_2), "{\"api\":\"1.2.0\"", "{\"api\":\"1.9.0\"");
    let error = refusal(&place, "newer.so", &newer).await;
    assert!(error.contains("says plugin API 1.9.0, but it was built with 1.2.0"), "{error}");
    let other = patch(&bytes(&variants::all().odd_for_2_0), "{\"api\":\"2.0.0\"", "{\"api\":\"1.0.0\"");
    let error = refusal(&place, "other.so", &other).await;
    assert!(error.contains("built for plugin API 2.0; this host speaks 1.0"), "{error}");
}

#[tokio::test]
async fn two_libraries_and_two_versions_of_one_answer_as_themselves() {
    let place = Place::new();
    let old = place.libraries().load(&odd_library()).await.unwrap();
    let new = place.libraries().load(&variants::all().odd_1_2_3).await.unwrap();
    let echo = place.libraries().load(&variants::all().echo).await.unwrap();
    assert_eq!((old.manifest().id.as_str(), old.manifest().version.as_str()), ("odd", "1.0.0"));
    assert_eq!((new.manifest().id.as_str(), new.manifest().version.as_str()), ("odd", "1.2.3"));
    assert_eq!(echo.manifest().id, "echo");
    for _ in 0..2 {
        for (library, version) in [(&old, "1.0.0"), (&new, "1.2.3")] {
            let (platform, _) = place.connect(library, json!({})).await;
            let desk = Desk::at_work(&platform).await;
            assert_eq!(desk.odd(json!({"what": "version"})).await, Outcome::data(json!({"version": version})));
        }
        let (platform, _) = place.connect(&echo, json!({"extension": "4711"})).await;
        let desk = Desk::sit_down_with(&platform, "secret").await;
        desk.agent.start(1, &jackfield_plugin_api::StartOptions::default()).unwrap();
        assert_eq!(desk.answer(1).await, Outcome::success());
        assert_eq!(desk.last_report().await.channels[0].key, "4711");
    }
}

#[tokio::test]
async fn the_same_content_under_two_paths_is_one_library() {
    let place = Place::new();
    let odd = bytes(&odd_library());
    place.libraries().load(&place.file("one.so", &odd)).await.unwrap();
    place.libraries().load(&place.file("two.so", &odd)).await.unwrap();
    assert_eq!(std::fs::read_dir(place.directory.join("store")).unwrap().count(), 1);
}

#[tokio::test]
async fn overwriting_a_loaded_file_changes_nothing_until_it_is_loaded_again() {
    let place = Place::new();
    let path = place.file("odd.so", &bytes(&odd_library()));
    let old = place.libraries().load(&path).await.unwrap();
    std::fs::write(&path, bytes(&variants::all().odd_1_2_3)).unwrap();
    let (platform, _) = place.connect(&old, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    assert_eq!(desk.odd(json!({"what": "version"})).await, Outcome::data(json!({"version": "1.0.0"})));
    let new = place.libraries().load(&path).await.unwrap();
    let (platform, _) = place.connect(&new, json!({})).await;
    let desk = Desk::at_work(&platform).await;
    assert_eq!(desk.odd(json!({"what": "version"})).await, Outcome::data(json!({"version": "1.2.3"})));
}

#[tokio::test]
async fn a_copy_in_the_store_that_was_spoilt_is_replaced() {
    let place = Place::new();
    let digest = {
        place.libraries().load(&odd_library()).await.unwrap();
        std::fs::read_dir(place.directory.join("store")).unwrap().next().unwrap().unwrap().file_name()
    };
    let fresh = Place::new();
    let store = fresh.directory.join("store");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join(&digest), b"spoilt").unwrap();
    fresh.libraries().load(&odd_library()).await.unwrap();
    assert_eq!(bytes(&store.join(&digest)), bytes(&odd_library()));
}
