/** The global tables of one runtime: their database, and who keeps it up with the topics. */
import { join } from 'node:path'
import { GlobalFollower } from '../../lib/changelog/global.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import type { Settings } from '../../lib/options/options.ts'
import type { PreparedTopology } from '../../lib/prepare/prepare.ts'
import { tpKey } from '../../lib/record.ts'
import { lockDirectory } from '../../lib/store/directory.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import { type GlobalState, openGlobalState } from '../../lib/store/globalState.ts'
import type { CacheBudget } from '../../lib/store/port.ts'
import { routedReader } from '../../lib/task/readerRouter.ts'

export interface GlobalsOptions {
  readonly settings: Settings
  readonly prepared: Pick<PreparedTopology, 'built' | 'otherCounts'>
  readonly transport: Transport
  readonly cache: CacheBudget
  readonly signal: AbortSignal
  /** They cannot be kept up any more. */
  readonly failed: (error: unknown) => void
  /** Takes what is to be closed when no task runs any more; the last first. */
  readonly closing: (close: () => Promise<unknown>) => void
}

/** Opens the tables and reads them to the end of their topics; they are kept up until closed. @returns undefined when there are none */
export async function openGlobals(options: GlobalsOptions): Promise<GlobalState | undefined> {
  const { settings, prepared, transport, cache, signal, failed, closing } = options
  const { globals } = prepared.built
  if (globals.length === 0) return undefined
  const { id: applicationId, clock, logger } = settings
  const directory = join(settings.stateDir, 'global')
  const driver = databaseDriver(settings.store)
  if (driver.durable) {
    const lock = await lockDirectory(directory, { applicationId, taskId: 'global', clock })
    closing(() => lock.release())
  }
  const specs = globals.map(({ store }) => store)
  const state = await openGlobalState({ directory, applicationId, driver, specs, cache })
  closing(() => state.close())
  const reader = routedReader(transport, { isolation: 'committed', lane: 'restore' }, failed)
  closing(() => reader.close())
  const tables = globals.map(({ store, topic }) => ({
    store: store.name,
    topic,
    partitions: prepared.otherCounts.get(topic) ?? 0
  }))
  const applied = ({ topic, partition }: { topic: string; partition: number }): void | Promise<void> =>
    settings.probe?.(tpKey(topic, partition), 'global:applied')
  const follower = new GlobalFollower({ state, tables, transport, reader, clock, signal, failed, applied })
  closing(() => follower.close())
  const began = clock.now()
  await follower.fill()
  const facts = { application: applicationId, ms: clock.now() - began, tables: specs.map(({ name }) => name) }
  logger.info(facts, 'The global tables are read to the end of their topics')
  return state
}
