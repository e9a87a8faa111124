import { CairnError } from '#core';

/** What a layer holds. Owners, names and times are the same for everything, so they are not here. */
export interface TarEntry {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly executable?: boolean;
  readonly size?: number;
  readonly target?: string;
  /** Opens the content of a file: exactly `size` bytes. */
  readonly open?: () => AsyncIterable<Uint8Array>;
}

/** 1980-01-01, the one time of everything that is built: zip cannot say less. */
const epoch = 315_532_800;

/** ustar, with a pax header only where a name or size asks for one, sorted by the bytes of the path. The bytes are pinned. */
export async function* writeTar(entries: readonly TarEntry[]): AsyncIterable<Buffer> {
  const named = entries.map((entry) => ({ entry, name: Buffer.from(entry.kind === 'folder' ? `${entry.path}/` : entry.path) }));
  named.sort((a, b) => a.name.compare(b.name));
  for (const { entry, name } of named) {
    const size = entry.kind === 'file' ? (entry.size ?? 0) : 0;
    const link = Buffer.from(entry.target ?? '');
    const records = [...paxRecord('path', name, 100), ...paxRecord('linkpath', link, 100), ...(size > 0o77777777777 ? [record('size', Buffer.from(String(size)))] : [])];
    if (records.length > 0) {
      const body = Buffer.concat(records);
      yield header(Buffer.from('PaxHeader'), 'x', 0o644, body.byteLength, Buffer.alloc(0));
      yield padded(body);
    }
    const mode = entry.kind === 'link' ? 0o777 : entry.kind === 'folder' || entry.executable === true ? 0o755 : 0o644;
    yield header(name.subarray(0, 100), { file: '0', folder: '5', link: '2' }[entry.kind], mode, Math.min(size, 0o77777777777), link.subarray(0, 100));
    if (entry.open === undefined) continue;
    let written = 0;
    for await (const chunk of entry.open()) {
      written += chunk.byteLength;
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
    if (written !== size) throw new CairnError('stage-failed', `${entry.path} changed while it was packed`, { fix: 'Let no stage leave a process behind' });
    if (size % 512 !== 0) yield Buffer.alloc(512 - (size % 512));
  }
  yield Buffer.alloc(1024);
}

function paxRecord(key: string, value: Buffer, room: number): Buffer[] {
  const plain = value.byteLength <= room && value.every((byte) => byte >= 0x20 && byte < 0x7f);
  return plain ? [] : [record(key, value)];
}

/** `length key=value\n`, where the length counts itself. */
function record(key: string, value: Buffer): Buffer {
  const rest = key.length + value.byteLength + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')]);
}

function header(name: Buffer, type: string, mode: number, size: number, link: Buffer): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  name.copy(block, 0);
  block.write(octal(mode, 8) + octal(0, 8) + octal(0, 8) + octal(size, 12) + octal(epoch, 12) + ' '.repeat(8) + type, 100, 'latin1');
  link.copy(block, 157);
  block.write('ustar\x0000', 257, 'latin1');
  block.write(octal(0, 8) + octal(0, 8), 329, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.byteLength % 512)) % 512)]);
}
