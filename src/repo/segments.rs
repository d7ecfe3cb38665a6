//! Segments: what is stored of a binary log that its server has not closed yet (FORMAT.md 10.12).
//!
//! Their bytes are sealed as those of a data pack, so a write-only key adds them and reads none.
//! Only the newest segment of a file is ever replaced, by one put.

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::SourceId;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::binlog::SEGMENT_BYTES_MAX;
use crate::format::binlog::SegmentHead;
use crate::format::binlog::SegmentText;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::repo::Repository;
use crate::repo::require_there;
use crate::repo::sealing::sealing_failed;
use crate::seal::ids::RunId;
use crate::seal::object::ObjectKind;
use crate::seal::run::RunRecord;
use crate::seal::run::RunSecret;
use crate::seal::section::FrameKind;
use crate::seal::section::SectionHeader;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::suite::TAG_BYTES;
use crate::store::name::ObjectName;

/// The level of compression: an interval is short, and what is stored goes soon.
const ZSTD_LEVEL: i32 = 3;
/// Bytes by which a segment may be longer than what it holds.
const OVERHEAD_BYTES_MAX: u64 = 1 << 20;

/// The name of a segment, split into its parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentName {
    /// The source of the binary logs.
    pub source: SourceId,
    /// The id of the file.
    pub file: [u8; 16],
    /// The place in the file at which it begins.
    pub start: u64,
}

impl SegmentName {
    /// Returns the name of the segment's object.
    pub fn object(&self) -> ObjectName {
        let Self { source, file, start } = *self;
        Object::Segment { source, file, start }.name()
    }

    fn context(&self) -> Vec<u8> {
        [&self.source.0[..], &self.file, &self.start.to_le_bytes()].concat()
    }
}

/// The secret under which an archive seals segments, for as long as it runs.
#[derive(Debug)]
pub struct SegmentSealer {
    record: Vec<u8>,
    secret: RunSecret,
}

impl Repository {
    /// Creates the secret for the segments of an archive.
    pub fn segment_sealer(&self) -> Result<SegmentSealer> {
        let entropy = &**self.entropy();
        let secret = RunSecret::generate(entropy);
        let run = RunId::random(entropy);
        let record = self.keyring().seal_run(run, &secret, entropy).map_err(sealing_failed)?;
        Ok(SegmentSealer { record: record.encode(), secret })
    }

    /// Returns the id of an open file, from the hash of its first event and its name.
    pub fn segment_file(&self, first_event: &str, file: &str) -> Result<[u8; 16]> {
        Ok(self.source_id(&format!("\0\0{first_event}\0{file}"))?.0)
    }

    /// Puts a segment in the place of the one with its name, with two requests.
    pub fn put_segment(
        &self,
        sealer: &SegmentSealer,
        name: &SegmentName,
        head: &SegmentHead,
        bytes: &[u8],
    ) -> Result<u64> {
        assert_eq!(head.end - head.start, u64_of(bytes.len()), "a head is of its bytes");
        let mut frame = zstd::bulk::compress(bytes, ZSTD_LEVEL).expect("memory can be compressed");
        let (keyring, entropy) = (self.keyring(), &**self.entropy());
        let section = SectionSealer::begin(keyring, Class::Data, &sealer.secret.data, entropy);
        frame.extend_from_slice(&[0; TAG_BYTES]);
        section.seal_in_place(FrameKind::Frame, &mut frame);
        let SectionHeader { salt, commitment, .. } = section.header();
        let (head, record) = (head.clone(), sealer.record.clone());
        let text = SegmentText { head, record, salt, commitment, frame }.encode();
        let whole = keyring
            .seal_object(ObjectKind::Segment, &name.context(), &text, entropy)
            .map_err(sealing_failed)?;
        let (object, length) = (name.object(), u64_of(whole.len()));
        let put = self.store().replace(&object, &[Bytes::from(whole)]);
        put.map_err(|e| e.named(format!("cannot store {object}")))?;
        require_there(&**self.store(), &object, length)?;
        Ok(length)
    }

    /// Lists the segments of a source, or of all, in the order of their files and places.
    pub fn segment_names(&self, source: Option<SourceId>) -> Result<Vec<SegmentName>> {
        let prefix =
            source.map_or_else(|| Folder::Segments.prefix().to_owned(), Folder::segments_of);
        let mut names = Vec::new();
        for object in self.listed(&prefix)? {
            if let Object::Segment { source, file, start } = object {
                names.push(SegmentName { source, file, start });
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads the head of a segment.
    pub fn segment_head(&self, name: &SegmentName) -> Result<SegmentHead> {
        self.segment_text(name).map(|text| text.head)
    }

    /// Reads a segment: its head and its bytes of the file.
    pub fn read_segment(&self, name: &SegmentName) -> Result<(SegmentHead, Vec<u8>)> {
        let damaged =
            |why: &'static str| Error::damaged(name.object(), Malformed { what: "segment", why });
        let text = self.segment_text(name)?;
        let failed = |cause| {
            let what = format!("cannot open {}", name.object());
            Error::new(ErrorKind::Damaged, what).because(cause)
        };
        let keyring = self.keyring();
        let record = RunRecord::decode(&text.record).map_err(failed)?;
        let secret = keyring.open_run(&record, Class::Data).map_err(|cause| {
            let what = format!("this key can't read {}", name.object());
            Error::new(ErrorKind::WriteOnly, what).because(cause)
        })?;
        let SegmentText { salt, commitment, .. } = text;
        let header = SectionHeader { suite: keyring.suite(), class: Class::Data, salt, commitment };
        let opener = SectionOpener::new(keyring, &header, &secret).map_err(failed)?;
        let mut frame = Vec::new();
        opener.open_into(FrameKind::Frame, 0, &text.frame, &mut frame).map_err(failed)?;
        let length = usize_of(text.head.end - text.head.start);
        let bytes = zstd::bulk::decompress(&frame, length)
            .map_err(|_| damaged("its bytes can't be decompressed"))?;
        let digest = blake3::hash(&bytes).to_hex();
        if bytes.len() != length || digest.as_str() != text.head.digest {
            return Err(damaged("its bytes are not those that its head describes"));
        }
        Ok((text.head, bytes))
    }

    /// Deletes segments by their names.
    pub fn delete_segments(&self, names: &[SegmentName]) -> Result<()> {
        let objects: Vec<ObjectName> = names.iter().map(SegmentName::object).collect();
        for batch in objects.chunks(self.store().deletes_at_once().max(1)) {
            for (name, deleted) in batch.iter().zip(self.store().delete_many(batch)) {
                deleted.map_err(|e| e.named(format!("cannot delete {name}")))?;
            }
        }
        Ok(())
    }

    fn segment_text(&self, name: &SegmentName) -> Result<SegmentText> {
        let object = name.object();
        let bytes_max = SEGMENT_BYTES_MAX + OVERHEAD_BYTES_MAX;
        let bytes = self.store().get(&object, bytes_max);
        let bytes = bytes.map_err(|e| e.named(format!("cannot read {object}")))?;
        let opened = self.keyring().open_dated(ObjectKind::Segment, &name.context(), &bytes);
        let (text, generation) = opened.map_err(|e| Error::damaged(&object, e))?;
        if generation != self.keyring().generation() {
            let what = format!("{object} was sealed before the keys were rotated");
            return Err(Error::new(ErrorKind::ForeignKey, what));
        }
        let text = SegmentText::decode(&text).map_err(|e| Error::damaged(&object, e))?;
        if text.head.start != name.start {
            let why = Malformed { what: "segment", why: "begins at another place than its name" };
            return Err(Error::damaged(&object, why));
        }
        Ok(text)
    }
}
