/** What a request codec is: key, version, and both directions over plain objects. */
import type { ApiMap } from './api.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'

export interface RequestCodec<A extends keyof ApiMap> {
  readonly key: number
  readonly version: number
  /** Flexible versions carry tag sections, also in both headers. */
  readonly flexible?: boolean
  encode(to: ByteWriter, request: ApiMap[A]['request']): void
  decode(from: ByteReader): ApiMap[A]['response']
}
