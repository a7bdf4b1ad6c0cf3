//! Working containers: their verbs, and what they mean for images.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure should stop the test")]

mod common;

use common::{kept, line};
use longshore_archive::{Code, Commit, CommitChanges, Error, Result};
use longshore_engine::{
    CONTAINERS, Carried, Catalog, Change, CommitOptions, Committed, Content, CreateOptions, Edit, File,
    Incoming, Kind, NewLayer, Node, RmiOptions,
};

/// Does what a verb says; gives what Docker prints.
fn done(catalog: &mut Catalog, verb: impl FnOnce(&Catalog) -> Result<Change>) -> Vec<String> {
    let change = verb(catalog).unwrap();
    catalog.apply(&change).unwrap();
    change.lines
}

fn sentence<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let error: Error = result.unwrap_err();
    (error.code(), error.message().to_owned())
}

fn options(digit: char, name: &str) -> CreateOptions {
    CreateOptions {
        id: digit.to_string().repeat(64),
        name: name.to_owned(),
        created: format!("2020-01-02T03:04:0{digit}Z"),
    }
}

/// A line of two images, `app:1` and `app:2`, and containers `one` of the first and `two` of the second.
fn containers() -> Catalog {
    let mut catalog = Catalog::default();
    let incoming = Incoming::of(&kept(line("a", &[&["app:1"], &["app:2"]]))).unwrap();
    done(&mut catalog, |catalog| catalog.load(&incoming));
    let lines = done(&mut catalog, |catalog| catalog.create("app:1", &options('1', "one")));
    assert_eq!(lines, ["1".repeat(64)]);
    done(&mut catalog, |catalog| catalog.create("app:2", &options('2', "/two")));
    catalog
}

fn names(catalog: &Catalog, filters: &[(&str, &str)]) -> Vec<String> {
    let filters: Vec<_> =
        filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    catalog.ps(true, &filters).unwrap().into_iter().map(|row| row.name).collect()
}

fn file(text: &str) -> Node {
    let content = Content::whole(longshore_archive::sha256(text.as_bytes()), text.len() as u64);
    Node::There(File {
        kind: Kind::Regular(content),
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
    })
}

#[test]
fn refusals_in_dockers_words() {
    let catalog = containers();
    let conflict = format!(
        "Conflict. The container name \"/one\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
        "1".repeat(64)
    );
    let create = |image: &str, name: &str| sentence(catalog.create(image, &options('3', name)));
    assert_eq!(create("app:1", "one"), (Code::NameInUse, conflict.clone()));
    for name in [".x", "x", "a b", "", "a/b"] {
        let told = format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
        assert_eq!(create("app:1", name), (Code::InvalidArgument, told));
    }
    assert_eq!(create("nosuch", "three"), (Code::NoSuchImage, "No such image: nosuch:latest".to_owned()));
    let rename = |from: &str, to: &str| sentence(catalog.rename(from, to)).1;
    assert_eq!(rename("one", "one"), "Renaming a container with the same name as its current name");
    assert_eq!(rename("two", "one"), format!("Error when allocating new name: {conflict}"));
    assert_eq!(rename("nosuch", "x"), "No such container: nosuch");
    assert_eq!(rename("two", ""), "Neither old nor new names may be empty");
    for (name, told) in [("/", "/"), ("a/b", "/a/b"), ("/a/b", "/a/b")] {
        let told = format!(
            "Error when allocating new name: Invalid container name ({told}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
        assert_eq!(rename("two", name), told);
    }
    let removal = catalog.rm(&["nosuch".to_owned(), "two".to_owned(), String::new()]);
    let told: Vec<_> =
        removal.items.iter().map(|item| item.outcome.as_ref().err().map(Error::message)).collect();
    assert_eq!(told, [Some("No such container: nosuch"), None, Some("container name cannot be empty")]);
    assert_eq!(removal.change.lines, ["two"]);
    let ps = |key: &str, value: &str| sentence(catalog.ps(true, &[(key.to_owned(), value.to_owned())])).1;
    assert_eq!(ps("foo", "1"), "invalid filter 'foo'");
    assert_eq!(ps("status", "bogus"), "invalid filter 'status=bogus'");
    assert_eq!(ps("is-task", "bogus"), "invalid filter 'is-task=[bogus]'");
    assert_eq!(ps("before", "nosuch"), "No such container: nosuch");
}

#[test]
fn a_container_is_meant_by_its_name_or_the_beginning_of_its_id() {
    let mut catalog = containers();
    done(&mut catalog, |catalog| {
        catalog.create("app:1", &CreateOptions { id: format!("{}2", "1".repeat(63)), ..options('3', "22") })
    });
    let found = |text: &str| catalog.find_container(text).map(|one| one.name.clone());
    assert_eq!(found("/one").unwrap(), "one");
    assert_eq!(found(&"1".repeat(64)).unwrap(), "one");
    // A name wins over an ID that begins so.
    assert_eq!(found("22").unwrap(), "22");
    assert_eq!(found("222").unwrap(), "two");
    assert_eq!(sentence(found("11")).0, Code::AmbiguousContainer);
    assert_eq!(sentence(found("")).0, Code::NoSuchContainer);
}

#[test]
fn ps_lists_them_newest_first() {
    let mut catalog = containers();
    assert_eq!(names(&catalog, &[]), ["two", "one"]);
    assert_eq!(names(&catalog, &[("name", "o"), ("before", "two")]), ["one"]);
    assert_eq!(names(&catalog, &[("since", "one")]), ["two"]);
    assert_eq!(names(&catalog, &[("ancestor", "app:1")]), ["two", "one"]);
    assert_eq!(names(&catalog, &[("ancestor", "app:2")]), ["two"]);
    assert_eq!(names(&catalog, &[("ancestor", "nosuch")]).len(), 0);
    assert_eq!(names(&catalog, &[("label", "line=a")]).len(), 2);
    assert_eq!(names(&catalog, &[("id", "222"), ("id", "9"), ("status", "created")]), ["two"]);
    assert_eq!(names(&catalog, &[("name", "^/?one$"), ("name", "(")]), ["one"]);
    assert_eq!(names(&catalog, &[("name", "^/t")]), ["two"]);
    assert_eq!(names(&catalog, &[("name", "//t")]).len(), 0);
    assert_eq!(names(&catalog, &[("name", "(")]).len(), 0);
    // A beginning of one ID, and no other part of it.
    assert_eq!(names(&catalog, &[("id", "")]).len(), 0);
    assert_eq!(names(&catalog, &[("id", &format!("{}3", "2".repeat(63)))]).len(), 0);
    assert_eq!(names(&catalog, &[("status", "running")]).len(), 0);
    for filter in [("health", "none"), ("isolation", "default"), ("is-task", "false"), ("is-task", "0")] {
        assert_eq!(
            names(&catalog, &[filter, ("health", "none"), ("health", "healthy")]).len(),
            2,
            "{filter:?}"
        );
    }
    for filter in [
        ("exited", "0"),
        ("expose", "80"),
        ("health", "healthy"),
        ("is-task", "true"),
        ("network", "bridge"),
        ("publish", "80"),
        ("volume", "/a"),
    ] {
        assert_eq!(names(&catalog, &[filter]).len(), 0, "{filter:?}");
    }
    assert!(catalog.ps(false, &[]).unwrap().is_empty());
    let put = vec![("etc/motd".to_owned(), file("hello")), ("etc/passwd".to_owned(), Node::Removed)];
    done(&mut catalog, |catalog| catalog.edit("two", &Edit { put, ..Edit::default() }));
    done(&mut catalog, |catalog| catalog.rename("two", "zwei"));
    done(&mut catalog, |catalog| catalog.tag("app:1", "app:2"));
    let rows = catalog.ps(true, &[]).unwrap();
    assert_eq!((rows[0].name.as_str(), rows[0].changes, rows[0].size), ("zwei", 2, 5));
    // The name leads elsewhere now.
    assert_eq!((&rows[0].image, rows[1].image.as_str()), (&rows[0].image_id, "app:1"));
}

#[test]
fn a_container_says_that_it_has_lost_something_until_it_has_it_again_or_needs_it_no_more() {
    let mut catalog = containers();
    let damaged = |catalog: &Catalog| {
        let rows = catalog.ps(true, &[]).unwrap();
        rows.into_iter().filter(|row| row.damaged).map(|row| row.name).collect::<Vec<_>>()
    };
    let put = |path: &str, text: &str| Edit { put: vec![(path.to_owned(), file(text))], ..Edit::default() };
    let digest = longshore_archive::sha256(b"hello");
    for container in ["one", "two"] {
        done(&mut catalog, |catalog| catalog.edit(container, &put("etc/motd", "hello")));
    }
    done(&mut catalog, |catalog| catalog.edit("one", &put("etc/issue", "welcome")));
    done(&mut catalog, |catalog| Ok(catalog.damage(&digest)));
    assert_eq!(damaged(&catalog), ["two", "one"]);
    done(&mut catalog, |catalog| catalog.edit("one", &put("etc/motd", "other")));
    assert_eq!(damaged(&catalog), ["two"]);
    // What has the content brings it for all.
    done(&mut catalog, |catalog| catalog.edit("one", &put("etc/hosts", "hello")));
    assert_eq!(damaged(&catalog).len(), 0);

    let layer = catalog.find_image("app:1").unwrap().layers()[0].digest.clone();
    done(&mut catalog, |catalog| Ok(catalog.damage(&layer)));
    assert_eq!(damaged(&catalog), ["two", "one"]);
}

#[test]
fn what_containers_need_is_not_reclaimable() {
    let mut catalog = containers();
    let before = catalog.df(&catalog.uses());
    let edit = Edit { put: vec![("etc/new".to_owned(), file("what was written"))], ..Edit::default() };
    done(&mut catalog, |catalog| catalog.edit("one", &edit));
    let after = catalog.df(&catalog.uses());
    assert_eq!(after.size, before.size + 16);
    assert_eq!(after.reclaimable, before.reclaimable);
}

#[test]
fn images_that_containers_use() {
    let mut catalog = containers();
    let id = catalog.find_image("app:2").unwrap().id().to_owned();
    let rmi = |catalog: &Catalog, image: &str, force: bool| {
        let in_use = catalog.uses();
        catalog.rmi(&[image.to_owned()], &RmiOptions { force, in_use: &in_use, ..RmiOptions::default() })
    };
    let told = rmi(&catalog, "app:2", false);
    assert_eq!(
        told.errors().next().unwrap().message(),
        format!(
            "conflict: unable to remove repository reference \"app:2\" (must force) - container 222222222222 is using its referenced image {}",
            &id[7..19]
        )
    );
    let blobs = catalog.blobs();
    let removal = rmi(&catalog, "app:2", true);
    // The layers stay: the container stands on them.
    assert_eq!(removal.change.lines, ["Untagged: app:2".to_owned(), format!("Deleted: {id}")]);
    done(&mut catalog, |_| Ok(removal.change));
    assert!(catalog.image(&id).is_none());
    assert_eq!(catalog.blobs(), blobs);
    let container = catalog.find_container("two").unwrap();
    assert_eq!(catalog.base_of(container).unwrap().id(), id);
    assert_eq!(catalog.ps(true, &[]).unwrap()[0].image, id);
    done(&mut catalog, |catalog| Ok(catalog.rm(&["two".to_owned()]).change));
    assert!(catalog.blobs().len() < blobs.len());
}

#[test]
fn an_edit_is_as_large_as_what_it_changes() {
    let mut catalog = containers();
    let put = vec![("a".to_owned(), file("a")), ("b".to_owned(), Node::Removed)];
    done(&mut catalog, |catalog| catalog.edit("one", &Edit { put, ..Edit::default() }));
    let edit = Edit { put: vec![("a".to_owned(), file("b"))], delete: vec!["b".to_owned()] };
    let change = catalog.edit("one", &edit).unwrap();
    let key = |path: &str| format!("change/{}/{path}", "1".repeat(64));
    assert_eq!((change.put.len(), &change.put[0].0, &change.delete), (1, &key("a"), &vec![key("b")]));
    catalog.apply(&change).unwrap();
    assert_eq!(catalog.upper(&"1".repeat(64)).count(), 1);
    assert!(catalog.blobs().contains_key(&longshore_archive::sha256(b"b")));
    assert!(!catalog.blobs().contains_key(&longshore_archive::sha256(b"a")));
    for edit in [
        Edit { put: vec![("../a".to_owned(), Node::Removed)], ..Edit::default() },
        Edit { put: vec![("a".to_owned(), Node::Removed)], delete: vec!["a".to_owned()] },
    ] {
        assert_eq!(sentence(catalog.edit("one", &edit)).0, Code::InvalidArgument);
    }
}

fn commit(reference: &str, changes: &[&str]) -> CommitOptions {
    CommitOptions {
        reference: Some(reference.to_owned()),
        commit: Commit {
            author: Some("me".to_owned()),
            message: Some("why".to_owned()),
            created: "2021-01-01T00:00:00Z".to_owned(),
            changes: CommitChanges::Instructions(changes.iter().map(|line| (*line).to_owned()).collect()),
        },
    }
}

#[test]
fn a_commit_of_nothing_is_a_step_without_a_layer() {
    let mut catalog = containers();
    let committed = catalog.commit("one", None, &commit("new", &["ENV A=1"])).unwrap();
    let Committed { change, id, documents } = committed.clone();
    assert_eq!(change.lines, [id.as_str()]);
    done(&mut catalog, |_| Ok(change));
    let (base, image) = (catalog.find_image("app:1").unwrap(), catalog.find_image("new").unwrap());
    assert_eq!((image.id(), image.parent(), image.layers()), (id.as_str(), Some(base.id()), base.layers()));
    let config = image.config();
    assert_eq!(config.history.len(), base.config().history.len() + 1);
    let step = config.history.last().unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert!(step.empty_layer);
    assert_eq!(
        (step.created.clone(), step.author.clone(), step.comment.clone(), config.author.clone()),
        (text("2021-01-01T00:00:00Z"), text("me"), text("why"), text("me"))
    );
    assert!(config.container.env.contains(&"A=1".to_owned()));
    for (digest, text) in documents {
        assert_eq!(
            (&longshore_archive::sha256(text.as_bytes()), catalog.blobs()[&digest]),
            (&digest, text.len() as u64)
        );
    }
    // The same once more changes nothing.
    assert!(catalog.commit("one", None, &commit("new", &["ENV A=1"])).unwrap().change.is_empty());
}

#[test]
fn a_commit_puts_the_changes_on_top() {
    let mut catalog = containers();
    let put = vec![("a".to_owned(), file("a"))];
    done(&mut catalog, |catalog| catalog.edit("one", &Edit { put, ..Edit::default() }));
    assert_eq!(sentence(catalog.commit("one", None, &commit("new", &[]))).0, Code::InvalidArgument);
    let layer = NewLayer { diff_id: longshore_archive::sha256(b"layer"), size: 5 };
    let committed = catalog.commit("one", Some(&layer), &commit("app:1", &[])).unwrap();
    let base = catalog.find_image("app:1").unwrap().clone();
    done(&mut catalog, |_| Ok(committed.change));
    let image = catalog.find_image("app:1").unwrap();
    assert_eq!((image.layers().len(), image.parent()), (base.layers().len() + 1, Some(base.id())));
    assert_eq!(
        (&image.layers().last().unwrap().diff_id, image.config().diff_ids.len()),
        (&layer.diff_id, image.layers().len())
    );
    assert!(!image.config().history.last().unwrap().empty_layer);
    // The base is as it was, but for the name that moved.
    assert_eq!(catalog.image(base.id()), Some(&base));
    assert_eq!(catalog.history("app:1").unwrap()[0].comment, "why");
}

#[test]
fn commits_that_docker_refuses() {
    let mut catalog = containers();
    let told = |catalog: &Catalog, container: &str, options: &CommitOptions| {
        sentence(catalog.commit(container, None, options)).1
    };
    assert_eq!(told(&catalog, "nosuch", &commit("x", &[])), "No such container: nosuch");
    assert_eq!(
        told(&catalog, "one", &commit("X", &[])),
        "invalid reference format: repository name (library/X) must be lowercase"
    );
    let digest = format!("x@sha256:{}", "1".repeat(64));
    assert_eq!(
        told(&catalog, "one", &commit(&digest, &[])),
        "refusing to create a tag with a digest reference"
    );
    assert_eq!(told(&catalog, "one", &commit("x", &["RUN x"])), "RUN is not a valid change command");
    let id = catalog.find_image("app:2").unwrap().id().to_owned();
    let options = RmiOptions { force: true, ..RmiOptions::default() };
    let removal = catalog.rmi(&["app:2".to_owned()], &options).change;
    done(&mut catalog, |_| Ok(removal));
    // As Docker has it: what is left of the image is its layers.
    assert_eq!(told(&catalog, "two", &commit("x", &[])), format!("No such image: {id}"));
}

#[test]
fn a_containers_files_are_an_archive() {
    let mut catalog = containers();
    let image = catalog.find_image("app:2").unwrap().clone();
    let put = vec![("a".to_owned(), file("a"))];
    done(&mut catalog, |catalog| catalog.edit("two", &Edit { put, ..Edit::default() }));
    let options = RmiOptions { force: true, ..RmiOptions::default() };
    let removal = catalog.rmi(&["app:2".to_owned()], &options).change;
    done(&mut catalog, |_| Ok(removal));
    let digests = |export: &longshore_engine::Export| -> Vec<String> {
        export.blobs.iter().map(|blob| blob.digest.clone()).collect()
    };
    // The image's, though it is gone.
    let below = catalog.view("two", None).unwrap();
    assert!(image.blobs().all(|blob| digests(&below).contains(&blob.digest)));
    // With the layer, which the edge adds, as it adds nothing else: config and manifest are documents.
    let layer = NewLayer { diff_id: longshore_archive::sha256(b"layer"), size: 5 };
    let whole = catalog.view("two", Some(&layer)).unwrap();
    assert_eq!(digests(&whole).len(), image.layers().len());
    assert!(whole.blobs.iter().all(|blob| catalog.blobs().contains_key(&blob.digest)));
    assert_eq!(whole.documents.len(), 5);
    assert!(whole.documents.iter().any(|(_, text)| text.contains(&layer.diff_id)));
}

/// What comes in with the archive of a store.
fn carried(from: &Catalog) -> Incoming {
    let images = Incoming::of(&kept(line("a", &[&["app:1"], &["app:2"]]))).unwrap();
    let document =
        from.save_all().unwrap().documents.into_iter().find(|(path, _)| path == CONTAINERS).unwrap().1;
    Incoming { containers: Carried::read(&document).unwrap(), ..images }
}

#[test]
fn containers_go_from_store_to_store() {
    let mut one = containers();
    let put = vec![("a".to_owned(), file("a")), ("b".to_owned(), Node::Removed)];
    done(&mut one, |catalog| catalog.edit("two", &Edit { put, ..Edit::default() }));
    let incoming = carried(&one);

    let mut other = containers();
    done(&mut other, |catalog| Ok(catalog.rm(&["one".to_owned(), "two".to_owned()]).change));
    // A container that is another one has a name already.
    done(&mut other, |catalog| catalog.create("app:1", &options('3', "two")));
    let plan = other.plan(&incoming).unwrap();
    assert_eq!(plan.containers, ["one", "two"]);
    let Node::There(File { kind: Kind::Regular(content), .. }) = file("a") else { unreachable!() };
    assert_eq!(
        plan.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect::<Vec<_>>(),
        [(&content.digest, 1)]
    );
    assert_eq!(
        done(&mut other, |catalog| catalog.load(&incoming)),
        ["Loaded image: app:1", "Loaded image: app:2"]
    );
    assert_eq!(names(&other, &[]), ["two", "222222222222", "one"]);
    let id = "2".repeat(64);
    assert!(other.upper(&id).eq(one.upper(&id)));
    // Once more changes nothing.
    assert!(other.load(&incoming).unwrap().is_empty());
    assert!(other.plan(&incoming).unwrap().containers.is_empty());
}

#[test]
fn containers_that_are_not_taken_in() {
    let incoming = carried(&containers());
    let told = |incoming: &Incoming| sentence(Catalog::default().load(incoming));
    let mut odd = incoming.clone();
    odd.containers[0].container.id = "short".to_owned();
    let says = "The containers in longshore-containers.json cannot be read: the ID is none.";
    assert_eq!(told(&odd), (Code::InvalidManifest, says.to_owned()));
    let mut odd = incoming.clone();
    odd.containers[1].changes.push(("../a".to_owned(), Node::Removed));
    assert_eq!(told(&odd).0, Code::InvalidManifest);
    let mut odd = incoming.clone();
    odd.containers[1].container.image = longshore_archive::sha256(b"none");
    assert_eq!(told(&odd).0, Code::NoSuchImage);
    for text in ["", "{}", "[]", r#"{"version":2,"containers":[]}"#, r#"{"version":1,"containers":[{}]}"#] {
        assert_eq!(sentence(Carried::read(text)).0, Code::InvalidManifest, "{text}");
    }
}
