//! The checks that an answer is the listing that was asked for, and that a listing gets on.
//!
//! Another answer must never count as an empty listing: the keys, the snapshots and the packs of a
//! repository are found by listings. A page is checked as received ([`check_page`]), before
//! `object_store` takes it, which accepts any XML and finds no objects in most. The pages together
//! are checked by [`Walk`].
//!
//! Invariants:
//! - A page is whole XML with the right root; it says for which bucket and prefix it is, whether
//!   others follow and with which token; all of its names begin with the prefix.
//! - Every page brings names after all names of the pages before, and the last page is reached.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// Most names in one listing: packs of half a pebibyte.
const NAMES_MAX: u64 = 1 << 24;
/// Most pages without a name, one after the other: what was deleted may leave some.
const EMPTY_PAGES_MAX: u32 = 100;
/// Levels of elements that a listing may have.
const LEVELS_MAX: usize = 16;

/// The form in which a service writes its listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `ListBucketResult` of S3, version 2; that of Google Cloud as well.
    S3,
    /// `EnumerationResults` of Azure Blob Storage.
    Azure,
}

/// The listing that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The form in which the answer is written.
    pub dialect: Dialect,
    /// The bucket, or the container.
    pub bucket: String,
    /// The prefix with which all names begin.
    pub prefix: String,
}

/// The facts that a page states.
#[derive(Debug, Default)]
struct Facts {
    root: Option<String>,
    container: Option<String>,
    name: Option<String>,
    prefix: Option<String>,
    key_count: Option<String>,
    is_truncated: Option<String>,
    token: Option<String>,
    /// The element that holds Azure's entries.
    blobs: bool,
    entries: u64,
    /// A name that does not begin with the prefix.
    outside: Option<String>,
}

/// Refuses a page that is not what was asked for, in words.
pub fn check_page(asked: &Asked, body: &[u8]) -> Result<(), String> {
    let facts = Facts::read(asked, body)?;
    let (root, container) = match asked.dialect {
        Dialect::S3 => ("ListBucketResult", &facts.name),
        Dialect::Azure => ("EnumerationResults", &facts.container),
    };
    match &facts.root {
        Some(found) if found == root => {}
        Some(found) => return Err(format!("its root element is {}, not {root}", shown(found))),
        None => return Err(format!("it has no root element, and {root} was expected")),
    }
    if let Some(found) = container
        && *found != asked.bucket
        && !is_another_name(&asked.bucket)
    {
        return Err(format!("it is of bucket {}, not of {}", shown(found), asked.bucket));
    }
    let prefix = facts.prefix.as_deref().unwrap_or_default();
    if prefix != asked.prefix {
        return Err(format!("it is of prefix {:?}, not of {:?}", shown(prefix), asked.prefix));
    }
    if let Some(outside) = &facts.outside {
        let outside = shown(outside);
        return Err(format!("it names {outside}, which does not begin with {}", asked.prefix));
    }
    match asked.dialect {
        Dialect::S3 => facts.check_s3(),
        Dialect::Azure if !facts.blobs => Err("it has no element Blobs".to_owned()),
        Dialect::Azure if facts.token.is_none() => Err("it has no element NextMarker".to_owned()),
        Dialect::Azure => Ok(()),
    }
}

/// Tells whether a bucket is asked for by a name that its listings need not have: an access point.
fn is_another_name(bucket: &str) -> bool {
    bucket.starts_with("arn:") || bucket.ends_with("-s3alias")
}

/// Returns the beginning of a text of the store, harmless to a terminal.
fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARACTERS_MAX).collect()
}

impl Facts {
    fn check_s3(&self) -> Result<(), String> {
        if let Some(count) = &self.key_count
            && count.parse() != Ok(self.entries)
        {
            return Err(format!("its KeyCount is {}, and it has {}", shown(count), self.entries));
        }
        let has_token = self.token.as_ref().is_some_and(|token| !token.is_empty());
        match self.is_truncated.as_deref() {
            Some("true") if has_token => Ok(()),
            Some("true") => Err("it is truncated, and has no NextContinuationToken".to_owned()),
            Some("false") => Ok(()),
            Some(other) => Err(format!("its IsTruncated is {}", shown(other))),
            None => Err("it has no element IsTruncated".to_owned()),
        }
    }

    fn read(asked: &Asked, body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "it is no UTF-8".to_owned())?;
        // A mark of the byte order is no part of the text.
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut facts = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut value = String::new();
        let broken = |error: String| format!("it is no XML: {}", shown(&error));
        loop {
            match reader.read_event().map_err(|e| broken(e.to_string()))? {
                Event::Eof if path.is_empty() => return Ok(facts),
                Event::Eof => return Err("it ends in the middle".to_owned()),
                Event::Start(start) => {
                    facts.open(asked, &mut path, &start)?;
                    value.clear();
                }
                Event::Empty(start) => {
                    facts.open(asked, &mut path, &start)?;
                    facts.close(asked, &path, "");
                    path.pop();
                }
                Event::End(_) => {
                    facts.close(asked, &path, &value);
                    path.pop();
                    value.clear();
                }
                Event::Text(part) => {
                    value.push_str(&part.decode().map_err(|e| broken(e.to_string()))?);
                    require_within(&path, &mut value)?;
                }
                Event::CData(part) => {
                    value.push_str(&part.decode().map_err(|e| broken(e.to_string()))?);
                    require_within(&path, &mut value)?;
                }
                Event::GeneralRef(reference) => {
                    value.push_str(&resolved(&reference)?);
                    require_within(&path, &mut value)?;
                }
                Event::DocType(_) => return Err("it has a document type".to_owned()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn open(
        &mut self,
        asked: &Asked,
        path: &mut Vec<String>,
        start: &BytesStart<'_>,
    ) -> Result<(), String> {
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        if path.len() == LEVELS_MAX {
            return Err("its elements are nested too deep".to_owned());
        }
        if path.is_empty() {
            if self.root.is_some() {
                return Err("it has two root elements".to_owned());
            }
            if asked.dialect == Dialect::Azure {
                self.container = attribute(start, "ContainerName")?;
            }
            self.root = Some(name.clone());
        }
        path.push(name);
        Ok(())
    }

    fn close(&mut self, asked: &Asked, path: &[String], value: &str) {
        let mut names = path.iter().map(String::as_str);
        let (_root, field, below) = (names.next(), names.next(), names.next());
        let deeper = (names.next(), names.next());
        let put = |place: &mut Option<String>| *place = Some(value.to_owned());
        match (asked.dialect, field, below, deeper) {
            (Dialect::S3, Some("Name"), None, _) => put(&mut self.name),
            (_, Some("Prefix"), None, _) => put(&mut self.prefix),
            (Dialect::S3, Some("KeyCount"), None, _) => put(&mut self.key_count),
            (Dialect::S3, Some("IsTruncated"), None, _) => put(&mut self.is_truncated),
            (Dialect::S3, Some("NextContinuationToken"), None, _)
            | (Dialect::Azure, Some("NextMarker"), None, _) => put(&mut self.token),
            (Dialect::S3, Some("Contents" | "CommonPrefixes"), None, _) => self.entries += 1,
            (Dialect::Azure, Some("Blobs"), None, _) => self.blobs = true,
            (Dialect::S3, Some("Contents"), Some("Key"), (None, _))
            | (Dialect::Azure, Some("Blobs"), Some("Blob"), (Some("Name"), None))
                if !value.starts_with(&asked.prefix) =>
            {
                put(&mut self.outside);
            }
            _ => {}
        }
    }
}

/// Refuses text outside of the root element.
fn require_within(path: &[String], value: &mut String) -> Result<(), String> {
    if path.is_empty() {
        if !value.trim().is_empty() {
            return Err("it has text outside of its root element".to_owned());
        }
        value.clear();
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    let unknown = || "it has a reference that is not known".to_owned();
    if let Some(character) = reference.resolve_char_ref().map_err(|_| unknown())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|_| unknown())?;
    resolve_predefined_entity(&name).map(str::to_owned).ok_or_else(unknown)
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = start.try_get_attribute(name).map_err(|_| "it is no XML".to_owned())?;
    Ok(found.map(|found| String::from_utf8_lossy(&found.value).into_owned()))
}

/// In which order a service lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The service lists by name.
    Names,
    /// In none: directory buckets of S3.
    None,
}

impl Order {
    /// Returns the order of a bucket of S3.
    pub fn of_bucket(bucket: &str) -> Self {
        if bucket.ends_with("--x-s3") { Self::None } else { Self::Names }
    }
}

/// A listing page by page: it must get on.
///
/// Services order names byte by byte, some (Azure with folders, `SeaweedFS`) folder by folder. A
/// listing that is in one of the two orders throughout has no name twice.
#[derive(Debug, Clone)]
pub struct Walk {
    order: Order,
    last: Option<String>,
    by_bytes: bool,
    by_folders: bool,
    names: u64,
    empty_pages: u32,
    /// The token of a page before, to be compared with those that follow.
    previous_token: Option<String>,
    pages: u64,
}

impl Walk {
    /// Creates a walk that is before its first page.
    pub fn new(order: Order) -> Self {
        Self {
            order,
            last: None,
            by_bytes: true,
            by_folders: true,
            names: 0,
            empty_pages: 0,
            previous_token: None,
            pages: 0,
        }
    }

    /// Takes the names of a page, and the token of the next; refuses what does not get on.
    pub fn page<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        token: Option<&str>,
    ) -> Result<(), String> {
        let before = self.names;
        names.into_iter().try_for_each(|name| self.name(name))?;
        let is_empty = self.names == before;
        self.empty_pages = if is_empty { self.empty_pages + 1 } else { 0 };
        let Some(token) = token else { return Ok(()) };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(format!("{EMPTY_PAGES_MAX} pages of it have no names"));
        }
        if self.previous_token.as_deref() == Some(token) {
            return Err("it gives a continuation token a second time".to_owned());
        }
        // Brent's way: a cycle of any length meets a token that is kept for long enough.
        if self.pages.is_power_of_two() || self.pages == 0 {
            self.previous_token = Some(token.to_owned());
        }
        self.pages += 1;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        self.names += 1;
        if self.names > NAMES_MAX {
            return Err(format!("it has more than {NAMES_MAX} names"));
        }
        if self.order == Order::None {
            return Ok(());
        }
        if let Some(last) = &self.last {
            self.by_bytes &= last.as_str() < name;
            self.by_folders &= last.split('/').lt(name.split('/'));
            if !self.by_bytes && !self.by_folders {
                let (name, last) = (shown(name), shown(last));
                return Err(format!("its names are not in order: {name} comes after {last}"));
            }
        }
        self.last = Some(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(dialect: Dialect) -> Asked {
        Asked { dialect, bucket: "bucket".to_owned(), prefix: "db/keys/".to_owned() }
    }

    fn s3(head: &str, rest: &str) -> Result<(), String> {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{head}{rest}</ListBucketResult>\n"
        );
        check_page(&asked(Dialect::S3), body.as_bytes())
    }

    const HEAD: &str = "<Name>bucket</Name><Prefix>db/keys/</Prefix><MaxKeys>1000</MaxKeys>";
    const END: &str = "<IsTruncated>false</IsTruncated>";
    const ENTRY: &str = "<Contents><Key>db/keys/0a</Key><Size>5</Size><Owner><ID>x</ID></Owner>\
                         </Contents>";

    #[test]
    fn a_listing_is_accepted() {
        s3(HEAD, END).unwrap();
        s3(HEAD, &format!("{ENTRY}{END}")).unwrap();
        s3(HEAD, &format!("<KeyCount>1</KeyCount>{ENTRY}{END}")).unwrap();
        s3("<Prefix>db&#47;keys/</Prefix>", END).unwrap();
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;a\
                    </NextContinuationToken>";
        s3(HEAD, more).unwrap();
        let asked = Asked { prefix: String::new(), ..asked(Dialect::S3) };
        for prefix in ["", "<Prefix/>", "<Prefix></Prefix>"] {
            let body = format!("<ListBucketResult>{prefix}{END}</ListBucketResult>");
            check_page(&asked, body.as_bytes()).unwrap();
        }
    }

    #[test]
    fn what_is_no_listing_is_not_an_empty_one() {
        let cut = format!("<ListBucketResult>{HEAD}{END}");
        let two = format!("<ListBucketResult>{HEAD}{END}</ListBucketResult><a/>");
        for (body, why) in [
            ("<Error><Code>InternalError</Code></Error>", "root element is Error"),
            ("<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>", "is html"),
            ("<EnumerationResults/>", "is EnumerationResults"),
            ("", "no root element"),
            ("{}", "outside of its root"),
            ("<ListBucketResult>", "ends in the middle"),
            ("<ListBucketResult></ListResult>", "no XML"),
            (cut.as_str(), "ends in the middle"),
            (two.as_str(), "two root elements"),
            ("<ListBucketResult/>", "prefix \"\", not of \"db/keys/\""),
        ] {
            let refused = check_page(&asked(Dialect::S3), body.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{body}: {refused}");
        }
        assert!(check_page(&asked(Dialect::S3), &[0xff]).is_err());
        let deep = "<a>".repeat(100_000);
        assert!(check_page(&asked(Dialect::S3), deep.as_bytes()).unwrap_err().contains("deep"));
    }

    #[test]
    fn a_listing_of_something_else_or_in_part_is_refused() {
        let truncated = "<IsTruncated>true</IsTruncated>";
        let outside = "<Contents><Key>db/packs/0a</Key></Contents>";
        for (head, rest, why) in [
            (HEAD, "", "no element IsTruncated"),
            (HEAD, "<IsTruncated>maybe</IsTruncated>", "IsTruncated is maybe"),
            (HEAD, truncated, "no NextContinuationToken"),
            (HEAD, &format!("<KeyCount>2</KeyCount>{ENTRY}{END}"), "KeyCount is 2, and it has 1"),
            (HEAD, &format!("<KeyCount>x</KeyCount>{END}"), "KeyCount is x"),
            (HEAD, &format!("{outside}{END}"), "names db/packs/0a"),
            ("<Name>other</Name><Prefix>db/keys/</Prefix>", END, "of bucket other"),
            ("<Name>bucket</Name><Prefix>db/</Prefix>", END, "prefix \"db/\""),
            ("<Name>bucket</Name>", END, "prefix \"\""),
        ] {
            let refused = s3(head, rest).unwrap_err();
            assert!(refused.contains(why), "{rest}: {refused}");
        }
    }

    #[test]
    fn a_listing_of_azure_is_distinguished_from_others() {
        let page = |bucket: &str, rest: &str| {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
                 ServiceEndpoint=\"http://a/\" ContainerName=\"{bucket}\">{rest}\
                 </EnumerationResults>"
            );
            check_page(&asked(Dialect::Azure), body.as_bytes())
        };
        let entry = |name: &str| {
            format!("<Blob><Name>{name}</Name><Properties><Etag>e</Etag></Properties></Blob>")
        };
        let prefix = "<Prefix>db/keys/</Prefix>";
        let good = format!("{prefix}<Blobs>{}</Blobs><NextMarker />", entry("db/keys/0a"));
        page("bucket", &good).unwrap();
        page("bucket", &format!("{prefix}<Blobs /><NextMarker>m</NextMarker>")).unwrap();
        assert!(page("other", &good).unwrap_err().contains("bucket other"));
        for (rest, why) in [
            (format!("{prefix}<NextMarker />"), "no element Blobs"),
            (format!("{prefix}<Blobs />"), "no element NextMarker"),
            ("<Blobs /><NextMarker />".to_owned(), "prefix"),
            (format!("{prefix}<Blobs>{}</Blobs><NextMarker />", entry("db/x")), "names db/x"),
        ] {
            assert!(page("bucket", &rest).unwrap_err().contains(why), "{rest}");
        }
    }

    fn walk(pages: &[(&[&str], &str)]) -> Result<(), String> {
        let mut walk = Walk::new(Order::Names);
        pages.iter().try_for_each(|(names, token)| {
            walk.page(names.iter().copied(), (!token.is_empty()).then_some(*token))
        })
    }

    #[test]
    fn names_in_the_order_of_bytes_or_of_folders_get_on() {
        walk(&[(&["a", "a-b", "a/b"], "1"), (&[], "2"), (&["b"], "")]).unwrap();
        walk(&[(&["a/b", "a-b/c"], "1"), (&["b"], "")]).unwrap();
        for pages in [
            [(&["a", "b"][..], "1"), (&["a"], "")],
            [(&["a", "b"], "1"), (&["b"], "")],
            [(&["a/b", "a-b/c"], "1"), (&["b", "b/c", "b-d", "b.e", "b/f"], "")],
            [(&["b", "a"], ""), (&[], "")],
        ] {
            assert!(walk(&pages).unwrap_err().contains("not in order"), "{pages:?}");
        }
    }

    #[test]
    fn a_listing_that_does_not_get_on_ends() {
        assert!(walk(&[(&["a"], "1"), (&["b"], "1")]).unwrap_err().contains("token"));
        let mut empty = Walk::new(Order::Names);
        let pages = (0..).take_while(|n| {
            let token = n.to_string();
            empty.page(std::iter::empty(), Some(&token)).is_ok()
        });
        assert_eq!(pages.count(), 100);
        // Tokens that come again, after more pages than one, in a listing without order.
        for cycle in [1, 2, 7, 64] {
            let mut walk = Walk::new(Order::None);
            let pages = (0_u32..).take_while(|n| {
                let token = (n % cycle).to_string();
                walk.page(["x"].into_iter(), Some(&token)).is_ok()
            });
            assert!(pages.count() <= 4 * 64, "{cycle}");
        }
        let mut endless = Walk::new(Order::Names);
        let names = (0..).take_while(|n| endless.name(&format!("{n:020}")).is_ok());
        assert_eq!(names.count(), 1 << 24);
    }
}
