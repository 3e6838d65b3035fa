/** What store specs share: serdes, specs of stores, temporary directories, one way to collect a scan. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Serde } from '../../lib/record.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import type { Database, DatabaseDriver, StoreSpec } from '../../lib/store/port.ts'
import { openTaskState, type TaskState } from '../../lib/store/taskState.ts'
import { type Clock, VirtualClock } from '../../lib/time.ts'

export const text: Serde<string> = {
  name: 'string',
  encode: (value) => Buffer.from(value),
  decode: (bytes, start, end) => bytes.toString('utf8', start, end)
}

export const json: Serde<unknown> = {
  name: 'json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end))
}

export const keyValueSpec = (name: string): StoreSpec<string, unknown> => ({
  name,
  kind: 'keyValue',
  key: text,
  value: json,
  caching: true,
  logged: true
})

export const windowSpec = (name: string, retentionMs: number, windowMs = 10): StoreSpec<string, unknown> => ({
  ...keyValueSpec(name),
  kind: 'window',
  retentionMs,
  windowMs
})

/** A directory that goes after the test. */
export async function temporary(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
  try {
    await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A driver whose databases the spec may change, or keep, as they are opened. */
export const altered = (driver: DatabaseDriver, change: (database: Database) => void): DatabaseDriver => ({
  ...driver,
  async open(directory) {
    const database = await driver.open(directory)
    change(database)
    return database
  }
})

export const openState = (
  directory: string,
  driver: DatabaseDriver,
  specs: readonly StoreSpec<string, unknown>[] = [keyValueSpec('totals')],
  options: { cacheBytes?: number; clock?: Clock; applicationId?: string; taskId?: string } = {}
): Promise<TaskState> =>
  openTaskState({
    directory,
    applicationId: options.applicationId ?? 'shop',
    taskId: options.taskId ?? '0_0',
    driver,
    specs: specs as StoreSpec[],
    cache: cacheBudget(options.cacheBytes ?? 1 << 20),
    clock: options.clock ?? new VirtualClock(1_000)
  })

/** Keys (hex) and values (latin1) of a range, in its order. */
export async function scan(
  database: Database,
  options: { from: Buffer; to: Buffer; reverse?: boolean; limit?: number }
): Promise<string[]> {
  const found: string[] = []
  for await (const chunk of database.range(options)) {
    for (const [key, value] of chunk) found.push(`${key.toString('hex')}=${value.toString('latin1')}`)
  }
  return found
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
