/** Compresses and expands what follows the header of a record batch: gzip, snappy, lz4, zstd as Kafka's Java code frames them. */
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { ConfigError, TransportError } from '../../errors.ts'
import type { Codec } from '../port.ts'

const require = createRequire(import.meta.url)

interface Snappy {
  compressSync(data: Buffer): Buffer
  uncompressSync(data: Buffer, options: { asBuffer: true }): Buffer
}
interface Lz4 {
  compressFrameSync(data: Buffer): Buffer
  decompressFrameSync(data: Buffer): Buffer
}
interface NativeZstd {
  zstdCompressSync?(data: Buffer): Buffer
  zstdDecompressSync?(data: Buffer): Buffer
}

// Loaded at first use: most jobs need none of them.
let snappy: Snappy | undefined
let lz4: Lz4 | undefined
let fzstd: { decompress(data: Uint8Array): Uint8Array } | undefined
let zstdWriter: { compress(data: Uint8Array): Uint8Array } | undefined
const native = zlib as unknown as NativeZstd // from Node 22.15

const loadSnappy = (): Snappy => (snappy ??= require('snappy') as Snappy)
const loadLz4 = (): Lz4 => (lz4 ??= require('lz4-napi') as Lz4)

/**
 * Loads what `compress` needs for the codec. Only zstd before Node 22.15 has something to wait for.
 * @throws ConfigError for an unknown codec.
 */
export async function prepareCodec(codec: Codec): Promise<void> {
  if (!(codec in CODEC_BITS)) {
    throw new ConfigError(`"${codec}" is no compression codec: use ${Object.keys(CODEC_BITS).join(', ')}.`, {
      details: { option: 'compression' }
    })
  }
  if (codec === 'snappy') loadSnappy()
  if (codec === 'lz4') loadLz4()
  if (codec === 'zstd' && !native.zstdCompressSync) {
    const { Zstd } = await import('@hpcc-js/wasm-zstd')
    zstdWriter ??= await Zstd.load()
  }
}

/** In a batch's attributes, bits 0 to 2. */
export const CODEC_BITS: Readonly<Record<Codec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

/** `prepareCodec` must have resolved before. */
export function compress(codec: Codec, bytes: Buffer): Buffer {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return zlib.gzipSync(bytes, { level: 1 })
    case 'snappy':
      return xerialCompress(bytes)
    case 'lz4':
      return loadLz4().compressFrameSync(bytes)
    case 'zstd': {
      if (native.zstdCompressSync) return native.zstdCompressSync(bytes)
      if (!zstdWriter) throw new ConfigError('zstd is used before it was loaded: await prepareCodec("zstd") first.')
      const packed = zstdWriter.compress(bytes)
      return Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
    }
  }
}

/** @throws TransportError 'retriable' (2, CORRUPT_MESSAGE) when the bytes do not expand, 'fatal' for a codec of the future. */
export function decompress(bits: number, bytes: Buffer): Buffer {
  try {
    switch (bits) {
      case 1:
        return zlib.gunzipSync(bytes)
      case 2:
        return xerialExpand(bytes)
      case 3:
        return loadLz4().decompressFrameSync(bytes)
      case 4:
        return zstdExpand(bytes)
    }
  } catch (cause) {
    const name = Object.keys(CODEC_BITS)[bits]
    throw new TransportError(`A record batch does not expand as ${name}: ${(cause as Error).message}`, 'retriable', {
      kafkaCode: 2,
      cause
    })
  }
  throw new TransportError(
    `A record batch names compression codec ${bits}, which Kafka did not have when this was written.`,
    'fatal'
  )
}

function zstdExpand(bytes: Buffer): Buffer {
  if (native.zstdDecompressSync) return native.zstdDecompressSync(bytes)
  fzstd ??= require('fzstd') as NonNullable<typeof fzstd>
  const out = fzstd.decompress(bytes)
  return Buffer.from(out.buffer, out.byteOffset, out.byteLength)
}

/** Java writes snappy in the framing of the xerial library: magic, two versions, then blocks behind their sizes. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
const XERIAL_BLOCK = 32 * 1024

function xerialCompress(bytes: Buffer): Buffer {
  const { compressSync } = loadSnappy()
  const parts: Buffer[] = [XERIAL]
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK) {
    const block = compressSync(bytes.subarray(at, at + XERIAL_BLOCK))
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    parts.push(size, block)
  }
  return Buffer.concat(parts)
}

function xerialExpand(bytes: Buffer): Buffer {
  const { uncompressSync } = loadSnappy()
  // Some clients write one bare snappy block.
  if (bytes.compare(XERIAL, 0, 8, 0, Math.min(8, bytes.length)) !== 0) return uncompressSync(bytes, { asBuffer: true })
  const parts: Buffer[] = []
  for (let at = XERIAL.length; at < bytes.length; ) {
    const size = bytes.readInt32BE(at)
    if (size < 0 || at + 4 + size > bytes.length) throw new RangeError(`a block of ${size} bytes does not fit`)
    parts.push(uncompressSync(bytes.subarray(at + 4, at + 4 + size), { asBuffer: true }))
    at += 4 + size
  }
  return Buffer.concat(parts)
}
