/** A value that does not go into its store or come out of it, as errors that name the key. */
import { DecodeError, EncodeError } from '../../errors.ts'
import type { StoreSpec } from '../port.ts'

type Spec = Pick<StoreSpec, 'name' | 'key'> & { readonly value: { readonly name: string } }

export function decodeFault(spec: Spec, id: string, cause: unknown): DecodeError {
  const key = describeKey(spec, id)
  return new DecodeError(
    `Store "${spec.name}" holds a value for key ${key} that does not decode as ${spec.value.name}. ` +
      `Was the store's serde changed? Give the job a new application id, or reset it, so that the state is built anew.`,
    { cause, details: { store: spec.name, key, serde: spec.value.name } }
  )
}

export function encodeFault(spec: Spec, id: string, cause: unknown): EncodeError {
  const key = describeKey(spec, id)
  const why = cause instanceof Error ? cause.message : String(cause)
  return new EncodeError(
    `Store "${spec.name}" cannot keep the value of key ${key}: ${spec.value.name} does not encode it (${why}). ` +
      `Put only what the store's serde can write, or give the store another serde. Nothing was written.`,
    { cause, details: { store: spec.name, key, serde: spec.value.name } }
  )
}

/** The key as text for messages. */
function describeKey(spec: Spec, id: string): string {
  try {
    const bytes = Buffer.from(id, 'latin1')
    return JSON.stringify(spec.key.decode(bytes, 0, bytes.length)) ?? 'undefined'
  } catch {
    return `0x${Buffer.from(id, 'latin1').toString('hex')}`
  }
}
