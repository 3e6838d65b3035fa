/** JSON text, with or without a schema that checks what was read. */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { JsonReader } from './jsonRead.ts'
import { writeJson } from './jsonWrite.ts'
import { writeText, written } from './write.ts'

/** The part of the Standard Schema interface (zod, valibot, arktype …) that json() uses. */
export interface StandardSchema<T> {
  readonly '~standard': {
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>
  }
}
type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] }

function textOf(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new EncodeError(`json() cannot encode the value: ${why}. Give plain data, or a serde of your own.`, { cause })
  }
  if (text === undefined || (text === 'null' && value !== null) || (text === '{}' && isCollection(value))) {
    throw new EncodeError(
      `json() cannot encode ${describe(value)}: JSON has no form for it, it would come back as something else. Give plain data, or a serde of your own.`
    )
  }
  return text
}

/** After so many values in a row that were not plain, or too large, as many as REST go the long way at once. */
const VAIN = 16
const REST = 2_000
let vain = 0

const encode = written(
  (value: unknown): Buffer => Buffer.from(textOf(value), 'utf8'),
  (value, target, at) => {
    let end = -1
    if (vain < VAIN) {
      try {
        end = writeJson(value, target, at)
      } catch {} // a getter of the value's: textOf() meets it, too, and says what is to be done
      vain = end < 0 ? vain + 1 : 0
    } else if (++vain > REST) vain = 0
    return end < 0 ? writeText(textOf(value), target, at) : end
  }
)

const isCollection = (value: unknown): boolean =>
  value instanceof Map || value instanceof Set || value instanceof RegExp || value instanceof Promise

function describe(value: unknown): string {
  if (value === undefined) return 'undefined'
  if (typeof value === 'object') return `a ${value?.constructor?.name ?? 'value'}`
  return typeof value === 'number' ? String(value) : `a ${typeof value}`
}

const reader = new JsonReader()

// biome-ignore lint/suspicious/noExplicitAny: one object serves every type, so that two uses compare as one serde
const JSON_SERDE: Serde<any> = {
  name: 'json',
  encode,
  decode: (bytes, start, end) => reader.read(bytes, start, end)
}

/**
 * JSON. Without a schema the type is a promise of yours; with one (any Standard Schema), each value is checked when it is read, and
 * what the schema gives is the value.
 * @throws EncodeError for undefined, functions, BigInt, cycles, NaN, and for Map or Set, which JSON would empty silently.
 * @throws DecodeError for text that is no JSON, or that the schema refuses.
 * @example json<{ delay: number }>().encode({ delay: 12 }).toString() // → '{"delay":12}'
 * @example json(z.object({ delay: z.number() }))
 */
export function json<T = unknown>(schema?: StandardSchema<T>): Serde<T> {
  if (!schema) return JSON_SERDE
  const standard = schema['~standard']
  const reader = new JsonReader()
  return {
    name: `json(${standard.vendor})`,
    encode,
    decode(bytes, start, end) {
      const result = standard.validate(reader.read(bytes, start, end))
      if (result instanceof Promise) {
        throw new DecodeError(
          `json() needs a schema that validates at once; this one (${standard.vendor}) gives a promise.`
        )
      }
      if (result.issues) {
        const issues = result.issues.map(
          (i) => (i.path?.length ? `${i.path.map(segment).join('.')}: ` : '') + i.message
        )
        throw new DecodeError(`The schema refuses the value: ${issues.join('; ')}.`, { details: { issues } })
      }
      return result.value
    }
  }
}

const segment = (part: unknown): string =>
  String(typeof part === 'object' && part !== null && 'key' in part ? part.key : part)
