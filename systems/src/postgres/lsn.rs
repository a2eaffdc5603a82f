//! Positions in the log: as a number, as PostgreSQL writes them, and where its records end.
//!
//! `pg_current_wal_insert_lsn` says where the *next* record will begin. Where the last one ended at
//! the end of a page that is behind the next page's header, which nobody has written yet: a standby
//! that has applied everything stands before the header, and passes it with the next record only.
//! The end of what was written is before the header. Nothing ends between the two: a record has at
//! least 24 bytes of its own on its first page and 8 on each later one.

use tokio_postgres::{Error, Row};

/// A page's header; `XLogPageHeaderData`.
const PAGE_HEADER: u64 = 24;
/// That of a segment's first page; `XLogLongPageHeaderData`.
const SEGMENT_HEADER: u64 = 40;

/// A node's position: what it has in its log as leader, or has applied as follower; and the size of
/// the log's pages and segments. The leader's is the one that covers a commit that nobody waited
/// for to be flushed (`synchronous_commit = off`): `pg_current_wal_flush_lsn` would not.
const POSITION: &str = "SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
    THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_insert_lsn() END, \
    '0/0')::bigint AS position, \
    current_setting('wal_block_size')::bigint AS page, \
    pg_size_bytes(current_setting('wal_segment_size')) AS segment";

/// Sizes of a server's log, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `wal_block_size`.
    pub page: u64,
    /// `wal_segment_size`.
    pub segment: u64,
}

impl Sizes {
    /// The end of the last record, out of where the next one will begin: what a standby reaches,
    /// and never less than the end of any record.
    pub fn end_of_records(self, next: u64) -> u64 {
        let header = match next.checked_rem(self.segment) {
            Some(within) if within < self.page => SEGMENT_HEADER,
            _ => PAGE_HEADER,
        };
        match next.checked_rem(self.page) {
            Some(within) if within == header => next - header,
            _ => next,
        }
    }
}

/// A node's position as a number: a standby that has applied all of it has reached it.
pub async fn position(client: &tokio_postgres::Client) -> Result<u64, Error> {
    let rows = client.query_typed(POSITION, &[]).await?;
    let number = |row: &Row, name: &str| row.get::<_, i64>(name).max(0) as u64;
    Ok(rows.first().map_or(0, |row| {
        let sizes = Sizes { page: number(row, "page"), segment: number(row, "segment") };
        sizes.end_of_records(number(row, "position"))
    }))
}

/// A position as PostgreSQL writes it.
pub fn text(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { page: 8_192, segment: 16 << 20 };

    /// Where the next record begins after so many bytes of records: `XLogBytePosToRecPtr`.
    fn next_after(sizes: Sizes, bytes: u64) -> u64 {
        let per_page = sizes.page - PAGE_HEADER;
        let pages = sizes.segment / sizes.page;
        let per_segment = pages * per_page - (SEGMENT_HEADER - PAGE_HEADER);
        let (segment, rest) = (bytes / per_segment, bytes % per_segment);
        let first = sizes.page - SEGMENT_HEADER;
        let within = match rest < first {
            true => SEGMENT_HEADER + rest,
            false => {
                let rest = rest - first;
                sizes.page * (1 + rest / per_page) + PAGE_HEADER + rest % per_page
            }
        };
        segment * sizes.segment + within
    }

    /// Where they end, `XLogBytePosToEndRecPtr`: behind their last 8 bytes, on whatever page.
    fn end_after(sizes: Sizes, bytes: u64) -> u64 {
        next_after(sizes, bytes - 8) + 8
    }

    #[test]
    fn a_record_that_ends_with_its_page_ends_before_the_next_header() {
        // Seen on 18.4: the standby stays at 0/3030000.
        assert_eq!(text(SIZES.end_of_records(0x303_0018)), "0/3030000");
        assert_eq!(text(SIZES.end_of_records(0x400_0028)), "0/4000000", "a segment's first page");
        assert_eq!(text(SIZES.end_of_records((7 << 32) + 0x18 + 0x2000)), "7/2000");
        for other in [0, 8, 0x303_0000, 0x303_0020, 0x303_0028, 0x400_0018, 0x400_0030] {
            assert_eq!(SIZES.end_of_records(other), other, "{other:#x}");
        }
        let unknown = Sizes { page: 0, segment: 0 };
        assert_eq!(unknown.end_of_records(0x303_0018), 0x303_0018, "never divided by nothing");
    }

    #[test]
    fn it_is_the_end_of_the_last_record_at_every_position_of_every_page_and_segment() {
        for sizes in
            [SIZES, Sizes { page: 1_024, segment: 1 << 20 }, Sizes { page: 65_536, ..SIZES }]
        {
            // Whole segments around each boundary, in the records' own steps of 8 bytes.
            let segment = sizes.segment / sizes.page * (sizes.page - PAGE_HEADER) - 16;
            let spans = [8..4 * sizes.page, segment - 2 * sizes.page..segment + 2 * sizes.page];
            for bytes in spans.into_iter().flatten().filter(|bytes| bytes % 8 == 0) {
                let next = next_after(sizes, bytes);
                let end = end_after(sizes, bytes);
                assert_eq!(sizes.end_of_records(next), end, "{bytes} bytes, {sizes:?}");
                assert_eq!(sizes.end_of_records(end), end, "a standby's own is left as it is");
            }
        }
    }
}
