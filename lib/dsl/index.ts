/** The DSL in one import. */
export type { Late, OnLate } from '../operators/late.ts'
export type { Pair } from '../operators/map.ts'
export type {
  Output,
  Processor,
  ProcessorContext,
  ValueOutput,
  ValuesContext,
  ValuesProcessor
} from '../operators/process.ts'
export type { TableRows } from '../operators/tableFace.ts'
export type { SessionWindows, SlidingWindows, TimeWindows } from '../operators/windows.ts'
export { TopologyBuilder, topology } from './builder.ts'
export type { Cogrouped, CogroupedByOptions, SessionCogrouped, WindowedCogrouped } from './cogroup.ts'
export type { DeduplicateOptions } from './deduplicate.ts'
export type { ForeignKeyOptions } from './foreignKeyJoin.ts'
export type { GlobalJoinOptions, GlobalTable, TableGlobalJoinOptions } from './globalTable.ts'
export type { Grouped, KeyValueOptions, StoreOptions } from './grouped.ts'
export type { GroupedTable } from './groupedTable.ts'
export type { SessionGrouped, SessionOptions } from './sessionGrouped.ts'
export { keyValueStore, type StoreDefinition, type StoreParts, windowStore } from './store.ts'
export type {
  JoinOptions,
  MapAsyncOptions,
  NodeOptions,
  ProcessOptions,
  ProcessValuesOptions,
  RepartitionOptions,
  SerdeOptions,
  Stream,
  ToOptions
} from './stream.ts'
export type { StreamJoinOptions, Within } from './streamJoin.ts'
export type { SuppressOptions } from './suppress.ts'
export type { LivingTableOptions, Table, TableOptions } from './table.ts'
export type { TableJoinOptions } from './tableJoin.ts'
export { type Topic, type TopicParts, type TopicPattern, topic } from './topic.ts'
export type { WindowedByOptions, WindowedGrouped, WindowStoreOptions } from './windowedGrouped.ts'
export { hopping, session, sliding, tumbling, unlimited, type WindowOptions } from './windows.ts'
