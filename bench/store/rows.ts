/** How many rows a second a task's store takes through prefetch, set, flush and persist. One table; `node --import tsx bench/store/rows.ts [rows]`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Serde } from '../../lib/record.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { latin1 } from '../../lib/store/bytes.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Binding, StoreSpec } from '../../lib/store/port.ts'
import { openTaskState } from '../../lib/store/taskState.ts'
import { stopwatch, systemClock } from '../../lib/time.ts'

interface Totals {
  count: number
  sum: number
}

const key: Serde<string> = {
  name: 'string',
  encode: (text) => Buffer.from(text),
  decode: (bytes, start, end) => bytes.toString('utf8', start, end)
}
const value: Serde<Totals> = {
  name: 'json',
  encode: (totals) => Buffer.from(JSON.stringify(totals)),
  decode: (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end))
}
const spec: StoreSpec<string, Totals> = { name: 'totals', kind: 'keyValue', key, value, caching: true, logged: true }

const BATCH = 10_000
const COMMIT_EVERY = 10 // batches

async function run(binding: Binding, rows: number, distinct: number, cacheBytes: number): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const state = await openTaskState({
    directory,
    applicationId: 'bench',
    taskId: '0_0',
    driver: databaseDriver(binding),
    specs: [spec as StoreSpec],
    cache: cacheBudget(cacheBytes),
    clock: systemClock
  })
  const store = state.store('totals')
  // As in a fetched batch: keys lie one after another in a buffer.
  const keys = Buffer.from(Array.from({ length: distinct }, (_, i) => `key-${i.toString().padStart(8, '0')}`).join(''))
  const ids = Array.from({ length: BATCH }, () => '')
  let logged = 0
  const pass = async (): Promise<number> => {
    const begin = stopwatch()
    for (let at = 0; at < rows; at += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const start = (((at + i) * 7919) % distinct) * 12
        ids[i] = latin1(keys, start, start + 12)
      }
      const read = store.prefetch(ids)
      if (read) await read
      for (let i = 0; i < BATCH; i++) {
        const answer = store.row(ids[i]!)
        const row = answer instanceof Promise ? await answer : answer
        const old = row.value as Totals | null
        store.set(row, { count: (old?.count ?? 0) + 1, sum: (old?.sum ?? 0) + i }, at, NO_HEADERS)
      }
      if ((at / BATCH + 1) % COMMIT_EVERY === 0 || at + BATCH >= rows) {
        const flushed = store.flush((_key, bytes) => {
          logged += bytes?.length ?? 0
        })
        if (flushed) await flushed
        await state.commit(new Map([['totals', logged]]))
      }
    }
    return rows / ((stopwatch() - begin) / 1000)
  }
  const first = await pass()
  const again = await pass()
  await state.close()
  await rm(directory, { recursive: true, force: true })
  return [first, again]
}

const rows = Number(process.argv[2] ?? 1_000_000)
const bindings: Binding[] = ['memory', 'rocksdb-native', 'rocksdb']
const fmt = (n: number): string => Math.round(n).toLocaleString('en').padStart(12)
console.log('rows/s                                      first pass  second pass')
for (const binding of bindings) {
  if (binding === 'rocksdb' && Number(process.versions.node.split('.')[0]) >= 22) continue
  for (const [name, distinct, cache] of [
    [`${rows.toLocaleString('en')} keys, 64 MiB cache`, rows, 64 << 20],
    ['10,000 keys, 64 MiB cache', 10_000, 64 << 20]
  ] as const) {
    const [first, again] = await run(binding, rows, distinct, cache)
    console.log(`${binding.padEnd(16)}${name.padEnd(28)}${fmt(first!)} ${fmt(again!)}`)
  }
}
