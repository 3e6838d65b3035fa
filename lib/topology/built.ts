/** What a topology is once it has an application id: what tasks, topic preparation and people read. */
import type { StoreSpec } from '../store/port.ts'
import type { SubTopology } from './node.ts'

export interface RepartitionTopic {
  /** Full name: `<app>-<name>-repartition`. */
  readonly topic: string
  readonly name: string
  /** A count the user asked for; else it follows from the topics it is joined with or comes from. */
  readonly partitions?: number | undefined
  /** Names of the serdes. */
  readonly key: string
  readonly value: string
  /** The user or repartition topics whose records end up in it (full names). */
  readonly upstream: readonly string[]
}

export interface ChangelogTopic {
  /** Full name: `<app>-<store>-changelog`. */
  readonly topic: string
  readonly store: StoreSpec
  readonly subtopology: number
}

/** A table of which every process has all rows. */
export interface GlobalTopic {
  readonly topic: string
  /** Not logged: its topic is its changelog. */
  readonly store: StoreSpec
}

export interface BuiltTopology {
  readonly applicationId: string
  readonly subtopologies: readonly SubTopology[]
  /** Belong to no sub-topology, and to no assignment. */
  readonly globals: readonly GlobalTopic[]
  readonly internalTopics: {
    readonly repartition: readonly RepartitionTopic[]
    readonly changelogs: readonly ChangelogTopic[]
  }
  /** Topics (full names) that must have equal partition counts, and which node asks for it. */
  readonly copartitioned: readonly { readonly node: string; readonly topics: readonly string[] }[]
  /** Names of stores and repartition topics that follow from their place. */
  readonly derived: readonly string[]
  /** Things that work but will bite later: stores and repartitions without a name of their own. */
  readonly warnings: readonly string[]
  /** The topology for people; its form is stable. */
  describe(): string
}

/** Whatever has nodes and can be given an application id: what a runtime takes. */
export interface Buildable {
  build(applicationId: string): BuiltTopology
}
