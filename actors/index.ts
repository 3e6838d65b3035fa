/** Millrace's public API. */
export type { AskContext, BehaviourContext } from '../lib/behaviour/context.ts'
export { type BehaviourParts, defineBehaviour, type Ending } from '../lib/behaviour/define.ts'
export type { Behaviour } from '../lib/behaviour/keyed.ts'
export {
  type MachineOutputs,
  type MachineParts,
  type MachineQuestions,
  type MachineRecord,
  machineBehaviour
} from '../lib/behaviour/machine.ts'
export type { MachineView } from '../lib/behaviour/machineLogic.ts'
export type { MigratedState } from '../lib/behaviour/machineSerde.ts'
export type { EmitOptions, TimerOptions } from '../lib/behaviour/port.ts'
export type { Questionable, Questions } from '../lib/behaviour/questions.ts'
export {
  type Cogrouped,
  type CogroupedByOptions,
  type DeduplicateOptions,
  type ForeignKeyOptions,
  type GlobalJoinOptions,
  type GlobalTable,
  type Grouped,
  type GroupedTable,
  hopping,
  type JoinOptions,
  type KeyValueOptions,
  keyValueStore,
  type Late,
  type LivingTableOptions,
  type MapAsyncOptions,
  type NodeOptions,
  type OnLate,
  type Output,
  type Pair,
  type ProcessOptions,
  type Processor,
  type ProcessorContext,
  type ProcessValuesOptions,
  type RepartitionOptions,
  type SerdeOptions,
  type SessionCogrouped,
  type SessionGrouped,
  type SessionOptions,
  type SessionWindows,
  type SlidingWindows,
  type StoreDefinition,
  type StoreOptions,
  type StoreParts,
  type Stream,
  type StreamJoinOptions,
  type SuppressOptions,
  session,
  sliding,
  type Table,
  type TableGlobalJoinOptions,
  type TableJoinOptions,
  type TableOptions,
  type TableRows,
  type TimeWindows,
  type ToOptions,
  type Topic,
  type TopicParts,
  type TopicPattern,
  TopologyBuilder,
  topic,
  topology,
  tumbling,
  unlimited,
  type ValueOutput,
  type ValuesContext,
  type ValuesProcessor,
  type WindowedByOptions,
  type WindowedCogrouped,
  type WindowedGrouped,
  type WindowOptions,
  type WindowStoreOptions,
  type Within,
  windowStore
} from '../lib/dsl/index.ts'
export { type EmbeddedBroker, embeddedBroker, embeddedTransport } from '../lib/embedded/index.ts'
export {
  ConfigError,
  DecodeError,
  EncodeError,
  FencedError,
  MillraceError,
  NotOwnerError,
  ProcessingError,
  StateDirectoryError,
  StateError,
  StoreCorruptedError,
  TopicError,
  TopologyError,
  TransportError,
  UnknownOutcomeError,
  UnreachableError
} from '../lib/errors.ts'
export { type KafkaWireOptions, kafkaTransport } from '../lib/kafka/kafkajs.ts'
export type { Transport } from '../lib/kafka/port.ts'
export type { TopologyPart } from '../lib/options/combine.ts'
export type { Inspect, MillraceOptions } from '../lib/options/options.ts'
export type { Until } from '../lib/options/until.ts'
export type { RequestOptions } from '../lib/query/router.ts'
export type { Headers, Serde, Tp } from '../lib/record.ts'
export { StreamRecord } from '../lib/record.ts'
export {
  bytes,
  double,
  int,
  json,
  long,
  nullable,
  type StandardSchema,
  serde,
  sessionWindowed,
  string,
  uuid,
  type Windowed,
  windowed
} from '../lib/serde/index.ts'
export type { KeyValueStore, ReadableStore, WindowStore } from '../lib/store/port.ts'
export { type Backoff, exponential } from '../lib/supervise/backoff.ts'
export { DEFAULT_RULES } from '../lib/supervise/defaults.ts'
export {
  type DeadLetter,
  type Directive,
  deadLetter,
  on,
  type RestartOptions,
  type RetryOptions,
  type Rule,
  type RuleBuilder,
  type SkipOptions,
  skip
} from '../lib/supervise/rules.ts'
export type { Guarantee, Logger } from '../lib/task/port.ts'
export type { Clock, Duration } from '../lib/time.ts'
export { Topology } from '../lib/topology/graph.ts'
export type { Change, Operator, OperatorContext } from '../lib/topology/node.ts'
export type { RuntimeInput, TaskStatus } from './coordinator.ts'
export type {
  ErrorFacts,
  RunReport,
  RuntimeCommand,
  RuntimeEvent,
  RuntimeFigures,
  TaskOutcome,
  TaskProgress,
  TaskRole,
  TaskStateName
} from './events.ts'
export type { RuntimeLogic, RuntimeSnapshot } from './logic.ts'
export type { RunningRuntime, RunOptions, RuntimeStatus } from './running.ts'
export { createRuntime, type Runtime } from './runtime.ts'
