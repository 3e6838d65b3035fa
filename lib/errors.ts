/** Every error Millrace gives: classes named by what to do next, each with a stable code and a sentence that mends. */

export interface MillraceErrorOptions {
  code?: string
  cause?: unknown
  /** Facts for programs: topic, partition, store, option … */
  details?: Record<string, unknown>
}

/** The root. `code` is stable and documented in docs/errors.md; `message` says what happened and what to do. */
export class MillraceError extends Error {
  readonly code: string
  /** True when the same call may succeed later without a change. */
  readonly retriable: boolean = false
  readonly details: Record<string, unknown>

  constructor(message: string, code: string, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code ?? code
    this.details = options.details ?? {}
    this.name = new.target.name
  }
}

/** Mend the configuration: an unknown option, a value out of range. Codes ERR_UNKNOWN_OPTION, ERR_OPTION, ERR_BINDING. */
export class ConfigError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_OPTION', options)
  }
}

/** Mend the topology: duplicate names, unconnected stores, windows that cannot work. Code ERR_TOPOLOGY and finer ones. */
export class TopologyError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_TOPOLOGY', options)
  }
}

/** Mend the topics: missing source topic ERR_MISSING_TOPIC, wrong partition count ERR_COPARTITION / ERR_INTERNAL_TOPIC. */
export class TopicError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_TOPIC', options)
  }
}

/** Mend the data or the serde: bytes that do not decode. Code ERR_DECODE; details: topic, partition, offset, part. */
export class DecodeError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_DECODE', options)
  }
}

/** Mend the value or the serde: a value that cannot be encoded. Code ERR_ENCODE. */
export class EncodeError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_ENCODE', options)
  }
}

/** User code threw while it handled a record. Code ERR_PROCESSING; cause is what it threw. */
export class ProcessingError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_PROCESSING', options)
  }
}

/**
 * Another process holds the state directory (ERR_STATE_LOCKED), it belongs to another job or a newer version (ERR_STATE_FOREIGN), or it
 * cannot be made, written or read (ERR_STATE_DIRECTORY).
 */
export class StateDirectoryError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_STATE_LOCKED', options)
  }
}

/** Wipe the local state and rebuild it from the changelog. Code ERR_STORE_CORRUPTED. */
export class StoreCorruptedError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_STORE_CORRUPTED', options)
  }
}

/** The task is somebody else's now: release it, never retry the commit. Code ERR_FENCED. */
export class FencedError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_FENCED', options)
  }
}

/** Nothing answers at the brokers given. Code ERR_BROKER_UNREACHABLE. */
export class UnreachableError extends MillraceError {
  override readonly retriable: boolean = true
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_BROKER_UNREACHABLE', options)
  }
}

/** The call came at the wrong time: started twice, closed already. Code ERR_STATE. */
export class StateError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_STATE', options)
  }
}

/** An ask was worked, and the task stopped before its commit was known to be through: look before asking again. Code ERR_UNKNOWN_OUTCOME. */
export class UnknownOutcomeError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_UNKNOWN_OUTCOME', options)
  }
}

/** Another process has the key: ask there. Code ERR_NOT_OWNER. */
export class NotOwnerError extends MillraceError {
  /** What that process gave as `advertise`; undefined when it gave nothing. */
  readonly owner: string | undefined
  constructor(message: string, owner: string | undefined, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_NOT_OWNER', options)
    this.owner = owner
  }
}

/** Mend the machine: no Kafka could be started for a test or a demo. Code ERR_NO_KAFKA. */
export class ProvisionError extends MillraceError {
  constructor(message: string, options: MillraceErrorOptions = {}) {
    super(message, 'ERR_NO_KAFKA', options)
  }
}

/** What a fault of the transport asks for; see the table in docs/design.md (kafka error codes → fault). */
export type Fault =
  | 'fenced'
  | 'stale-member'
  | 'rebalancing'
  | 'unstable'
  | 'coordinator'
  | 'metadata'
  | 'out-of-range'
  | 'retriable'
  | 'unknown-outcome'
  | 'too-large'
  | 'fatal'

/** A failed exchange with the log. `fault` says what to do; `kafkaCode` is the broker's own code where it gave one. */
export class TransportError extends MillraceError {
  readonly fault: Fault
  readonly kafkaCode: number | undefined
  override readonly retriable: boolean

  constructor(message: string, fault: Fault, options: MillraceErrorOptions & { kafkaCode?: number | undefined } = {}) {
    super(message, `ERR_TRANSPORT_${fault.toUpperCase().replaceAll('-', '_')}`, options)
    this.fault = fault
    this.kafkaCode = options.kafkaCode
    this.retriable = fault === 'retriable' || fault === 'metadata' || fault === 'coordinator' || fault === 'unstable'
  }
}

/** The name of `known` nearest to `word` (edit distance at most a third of its length, at least 2), for messages. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const k of known) {
    const d = editDistance(word.toLowerCase(), k.toLowerCase())
    if (d < bestDistance) [best, bestDistance] = [k, d]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]!
}
