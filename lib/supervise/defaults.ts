/** The rules that apply after the user's own: which failures mend themselves, and which need a person. */
import {
  ConfigError,
  DecodeError,
  EncodeError,
  FencedError,
  ProcessingError,
  StateDirectoryError,
  StoreCorruptedError,
  TopicError,
  TopologyError,
  TransportError
} from '../errors.ts'
import { on, type Rule } from './rules.ts'

const fault =
  (...faults: TransportError['fault'][]) =>
  (error: unknown): boolean =>
    error instanceof TransportError && faults.includes(error.fault)

const fenced = fault('fenced', 'stale-member')
const fatal = fault('fatal', 'too-large')
Object.defineProperty(fenced, 'name', { value: 'fenced' })
Object.defineProperty(fatal, 'name', { value: 'fatal' })

/**
 * Data and user errors escalate at once: running the same record again gives the same error, and offsets are not committed past it, so
 * nothing is lost. Fences release. A damaged store is rebuilt. Everything else may be a hiccup of the network and restarts with back-off.
 */
export const DEFAULT_RULES: readonly Rule[] = Object.freeze([
  on(FencedError).release(),
  on(fenced).release(),
  on(StoreCorruptedError).restart({ wipe: true, limit: { restarts: 3, within: '10m' } }),
  on(DecodeError).escalate(),
  on(EncodeError).escalate(),
  on(ProcessingError).escalate(),
  on(TopologyError).escalate(),
  on(TopicError).escalate(),
  on(ConfigError).escalate(),
  on(StateDirectoryError).escalate(),
  on(fatal).escalate(),
  on(Error).restart()
])
