import type { BigIntStats } from 'node:fs';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ManifestRoot, Totals } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { RepositoryParameters } from '../storage/repository.ts';
import type { Sealing } from '../storage/sealing.ts';
import type { Row } from '../storage/tree.ts';
import type { BytePath } from './bytePath.ts';
import { fileAt, toBytePath } from './bytePath.ts';
import type { FirstName } from './firstNames.ts';
import { FirstNames } from './firstNames.ts';
import type { RecordedFile, Unread } from './hashTask.ts';
import { readAt, readRecorded, whyUnread } from './hashTask.ts';
import type { Hashed } from './hashWindow.ts';
import { HashWindow } from './hashWindow.ts';
import type { JobContext } from './job.ts';
import type { LeftOut } from './leftOut.ts';
import type { AttemptLinks } from './linkDirectory.ts';
import type { Locations } from './locations.ts';
import type { Retained, RetainedPlace } from './retained.ts';
import { retainingPath, writeRetaining } from './retained.ts';
import { RetainedWriter } from './retainedRows.ts';
import type { DataRoot, NodeSettings } from './settings.ts';
import type { SourceWriter } from './sources.ts';
import type { NewPages } from './treeWriter.ts';
import { TreeWriter } from './treeWriter.ts';
import type { Found, Selection } from './walk.ts';
import { look, ownPaths, walk } from './walk.ts';

/** What a snapshot did, over all roots. */
export interface SnapshotCounts {
  hashedBytes: number;
  linked: number;
  unchanged: number;
}

export interface RootSnapshotOptions {
  node: NodeSettings;
  root: DataRoot;
  /** Place of the root in the node's list. */
  number: number;
  place: RetainedPlace;
  leftOut: LeftOut;
  retained: Retained;
  selection: Selection;
  links: AttemptLinks;
  sources: SourceWriter;
  locations: Locations;
  newPages: NewPages;
  sealing: Sealing;
  chunker: RepositoryParameters['chunker'];
  counts: SnapshotCounts;
  context: JobContext;
}

/** A row on its way to the tree. */
interface Entry {
  row: Row;
  inode?: bigint;
  /** Where the bytes are that the upload may need. */
  source?: number;
  /** Of a hard link; of a file with several names, itself. */
  name?: FirstName;
}

/** A file that was written to so shortly before we looked may be written to again without another mtime, ns. */
const RACY = 2_000_000_000n;
/** A small file that is being rewritten is read again so often. */
const TRIES = 5;
const BLOCK = 512n;
const HOLE = 4096n;

/** The snapshot of one root: walks it once, and hands rows to the tree in its order while the pool hashes behind. */
export class RootSnapshot {
  readonly #o: RootSnapshotOptions;
  readonly #base: BytePath;
  readonly #tree: TreeWriter;
  readonly #retaining: RetainedWriter;
  readonly #window: HashWindow<Entry>;
  readonly #names: FirstNames;
  readonly #totals: Totals = { entries: 0, files: 0, bytes: 0 };
  readonly #started = BigInt(Date.now()) * 1_000_000n;

  constructor(options: RootSnapshotOptions) {
    this.#o = options;
    this.#base = toBytePath(options.root.path);
    this.#tree = new TreeWriter(options.newPages, options.retained.pages);
    this.#retaining = new RetainedWriter(retainingPath(options.place));
    this.#names = new FirstNames(join(options.place.workDirectory, `first-names-${options.number}`));
    const { pool } = options.context;
    this.#window = new HashWindow({
      pool,
      sealing: options.sealing,
      cuts: options.chunker,
      settle: (entry, hashed) => this.#settle(entry, hashed),
    });
  }

  async take(): Promise<ManifestRoot> {
    const { node, root, selection, leftOut, retained, place, context } = this.#o;
    const snapshotAt = new Date().toISOString();
    // What the last backup had is the best guess of what there is.
    context.progress.filesTotal += retained.totals?.files ?? 0;
    context.progress.bytesTotal += retained.totals?.bytes ?? 0;
    const found = walk({
      root,
      selection,
      own: ownPaths(root, node.stateDir),
      leftOut,
      throwIfStopped: () => context.throwIfStopped(),
      spoolDirectory: place.workDirectory,
    });
    for (const one of found) {
      context.at(one.path);
      const full = this.#take(one);
      if (full !== undefined) await full;
    }
    await this.#window.end();
    this.#retaining.close();
    this.#names.close();
    if (retained.rows?.damaged) {
      context.warn(`${leftOut.file('')}: the retained tree is damaged; what stood behind the damage was read anew`);
    }
    const { tree, pages } = this.#tree.finish();
    writeRetaining(place, { pages, totals: this.#totals });
    return {
      name: root.name,
      tree,
      totals: this.#totals,
      snapshotAt,
      skipped: leftOut.skipped,
      vanished: leftOut.vanishedCount,
    };
  }

  #take({ path, type, stats }: Found): Promise<void> | undefined {
    const row = rowOf(path, type, stats);
    if (type === 'directory') return this.#window.add({ row });
    if (type === 'symlink') {
      const target = this.#targetOf(path);
      return target === undefined ? undefined : this.#window.add({ row: { ...row, target } });
    }
    const first = stats.nlink > 1n ? this.#names.find(stats.ino) : undefined;
    // Its own name, where it is taken again because it changed.
    if (first !== undefined && first.path !== path) {
      return this.#window.add({ row: { ...row, type: 'hardlink', size: 0, target: first.path }, name: first });
    }
    return this.#takeFile(path, row, stats);
  }

  #takeFile(path: BytePath, row: Row, stats: BigIntStats): Promise<void> | undefined {
    const { retained, counts } = this.#o;
    const former = retained.rows?.find(path);
    const same = former !== undefined && isUnchanged(former, stats, retained.local) ? former : undefined;
    if (same) counts.unchanged++;
    const known = same && (retained.reusable || same.chunks === undefined) ? same : undefined;
    if (!known && row.size <= this.#o.chunker.inline) return this.#takeSmall(path, stats);
    const name = this.#named(path, stats);
    const entry: Entry = { row, inode: stats.ino, ...(name ? { name } : {}) };
    if (known) return this.#window.add({ ...entry, row: contentOf(row, known) }, weightOf(known));
    return this.#takeLinked(path, entry, stats, same);
  }

  /** Content that stands in the tree itself is read here and now. */
  #takeSmall(path: BytePath, first: BigIntStats): Promise<void> | undefined {
    let stats = first;
    for (let tries = 1; ; tries++) {
      const size = Number(stats.size);
      if (!stats.isFile() || size > this.#o.chunker.inline) return this.#takeAgain(path, stats);
      let content = Buffer.alloc(0);
      const file = this.#recorded(path, stats);
      const unread = readRecorded(file, (open) => {
        const read = readAt(open, 0, size);
        content = Buffer.from(read);
        return read.length < size ? { why: 'changed' } : undefined;
      });
      if (unread === undefined) {
        const name = this.#named(path, stats);
        const row = { ...rowOf(path, 'file', stats), ...(size > 0 ? { content } : {}) };
        this.#o.counts.hashedBytes += size;
        return this.#window.add({ row, inode: stats.ino, ...(name ? { name } : {}) }, size);
      }
      if (unread.why !== 'changed' || tries === TRIES) {
        this.#leaveOut(path, unread, undefined);
        return undefined;
      }
      const again = look(fileAt(this.#base, path), path, this.#o.leftOut);
      if (again === undefined) return undefined;
      stats = again;
    }
  }

  /** It became something else since its directory was read. */
  #takeAgain(path: BytePath, stats: BigIntStats): Promise<void> | undefined {
    const type = stats.isFile() ? 'file' : stats.isSymbolicLink() ? 'symlink' : undefined;
    if (type !== undefined) return this.#take({ path, type, stats });
    // A directory in its place was not there when the snapshot came by.
    if (stats.isDirectory()) this.#o.leftOut.vanished(path);
    else this.#o.leftOut.special(path);
    return undefined;
  }

  #takeLinked(path: BytePath, entry: Entry, found: BigIntStats, same: Row | undefined): Promise<void> | undefined {
    const { links, sources, number, counts, leftOut, locations, chunker } = this.#o;
    const linked = this.#link(path, entry.name);
    if (linked === 'left out') return undefined;
    let { row } = entry;
    let unchanged = same;
    let stats = found;
    if (linked !== undefined) {
      const now = look(Buffer.from(linked, 'latin1'), path, leftOut);
      if (now === undefined) return undefined;
      if (!now.isFile() || now.size <= chunker.inline) {
        links.unlink(sources.next);
        return this.#takeAgain(path, now);
      }
      // Replaced by a rename, or written to, since we looked: what is linked is what is stored.
      if (now.ino !== stats.ino || now.size !== stats.size || now.mtimeNs !== stats.mtimeNs) {
        stats = now;
        row = rowOf(path, 'file', now);
        unchanged = undefined;
      }
      counts.linked++;
    }
    const source = sources.add(number, path, linked !== undefined);
    const next: Entry = { ...entry, row, inode: stats.ino, source };
    if (unchanged) {
      locations.addFile(unchanged.chunks as Buffer, source);
      return this.#window.add({ ...next, row: contentOf(row, unchanged) }, weightOf(unchanged));
    }
    counts.hashedBytes += row.size;
    return this.#window.hash(next, {
      ...this.#recorded(path, stats),
      ...(linked === undefined ? {} : { file: linked }),
    });
  }

  /** The path of the link; undefined where the file allows none and must be read in its place. */
  #link(path: BytePath, name: FirstName | undefined): BytePath | undefined | 'left out' {
    const { links, sources, leftOut, root } = this.#o;
    try {
      return links.link(sources.next, `${this.#base}/${path}`);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      switch (code) {
        case 'ENOENT':
        case 'ENOTDIR':
          this.#leaveOut(path, { why: 'vanished' }, name);
          return 'left out';
        case 'EMLINK':
        case 'EPERM':
        case 'EACCES':
          leftOut.unlinked(path);
          return undefined;
        case 'EXDEV':
          throw new HomarusError(
            'DifferentFileSystem',
            `${leftOut.file(path)} is on another file system than ${root.linkDir}, so it cannot be linked`,
          );
        case 'ENOSPC':
        case 'EDQUOT':
          throw new HomarusError('NoSpace', `${leftOut.file(path)} cannot be linked into ${root.linkDir}: ${message}`);
        default:
          throw error;
      }
    }
  }

  #settle(entry: Entry, hashed: Hashed): void {
    const { context, locations } = this.#o;
    const { row, inode, source, name } = entry;
    if (hashed && 'unread' in hashed) {
      this.#leaveOut(row.path, hashed.unread, name);
      return;
    }
    if (row.type === 'hardlink' && name && this.#names.isLeftOut(name)) {
      this.#o.leftOut.vanished(row.path);
      return;
    }
    if (hashed) {
      row.chunks = hashed.chunks;
      locations.addFile(hashed.chunks, source as number);
    }
    this.#tree.add(row);
    this.#retaining.add(inode === undefined || this.#isRacy(row) ? row : { ...row, inode });
    this.#totals.entries++;
    if (row.type !== 'file') return;
    this.#totals.files++;
    this.#totals.bytes += row.size;
    context.progress.filesDone++;
    context.progress.bytesDone += row.size;
  }

  #leaveOut(path: BytePath, unread: Unread, name: FirstName | undefined): void {
    const { leftOut } = this.#o;
    if (name?.path === path) this.#names.leaveOut(name);
    switch (unread.why) {
      case 'changed':
        throw leftOut.changed(path);
      case 'vanished':
        leftOut.vanished(path);
        break;
      case 'unreadable':
        leftOut.unreadable(path, unread.reason);
    }
  }

  /** Remembers a file that has other names. */
  #named(path: BytePath, stats: BigIntStats): FirstName | undefined {
    return stats.nlink > 1n ? this.#names.add(stats.ino, path) : undefined;
  }

  #targetOf(path: BytePath): string | undefined {
    try {
      return readlinkSync(fileAt(this.#base, path), 'latin1');
    } catch (error) {
      const unread = whyUnread(error);
      // Replaced by what is no link: it was not there when the snapshot came by.
      this.#leaveOut(path, unread.why === 'unreadable' ? unread : { why: 'vanished' }, undefined);
      return undefined;
    }
  }

  #recorded(path: BytePath, stats: BigIntStats): RecordedFile {
    return { file: `${this.#base}/${path}`, size: Number(stats.size), mtime: stats.mtimeNs, inode: stats.ino };
  }

  #isRacy({ type, mtime }: Row): boolean {
    return type === 'file' && mtime > this.#started - RACY;
  }
}

function rowOf(path: BytePath, type: Found['type'], stats: BigIntStats): Row {
  const row: Row = {
    path,
    type,
    size: type === 'file' ? Number(stats.size) : 0,
    mtime: stats.mtimeNs,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
  };
  if (type === 'file' && stats.blocks * BLOCK + HOLE <= stats.size) row.sparse = true;
  return row;
}

/** By size and mtime, and where the state is of this very node, by inode. */
export function isUnchanged(former: Row, stats: BigIntStats, local: boolean): boolean {
  return (
    former.type === 'file' &&
    BigInt(former.size) === stats.size &&
    former.mtime === stats.mtimeNs &&
    (!local || former.inode === stats.ino)
  );
}

/** The row of an unchanged file: as it is now, with the content that was stored. */
function contentOf(row: Row, { content, chunks }: Row): Row {
  return { ...row, ...(content ? { content } : {}), ...(chunks ? { chunks } : {}) };
}

const weightOf = ({ content, chunks }: Row): number => (content?.length ?? 0) + (chunks?.length ?? 0);
