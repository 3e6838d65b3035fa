/** A standby: the state of a task that another process runs, kept up with its changelogs. It produces nothing and commits nothing. */
import { join } from 'node:path'
import { changelogsOf, type RestoreProgress, restoreStores } from '../changelog/restore.ts'
import { StoreCorruptedError } from '../errors.ts'
import { type DirectoryLock, lockDirectory } from '../store/directory.ts'
import { destroyTaskState, openTaskState, type TaskState } from '../store/taskState.ts'
import { abortable } from './abortable.ts'
import type { TaskEnv, TaskPlan } from './port.ts'

export type StandbyEnv = Pick<
  TaskEnv,
  'applicationId' | 'transport' | 'readers' | 'driver' | 'stateDirectory' | 'cache' | 'clock'
>

/** What a standby has open: locked, and written up to its positions. */
export interface Held {
  readonly lock: DirectoryLock
  readonly state: TaskState
}

/**
 * Follows until the signal aborts. What it then holds belongs to the caller: to close, or for the task itself, which need not open it again
 * (RocksDB reads its log of writes first: a second or two for a large state) and restores the rest.
 * @throws the signal's reason when nothing was open yet; StoreCorruptedError when the state did not fit its log: it is removed, and the next call
 * begins anew; whatever locking, opening or reading throws
 * @example
 * const { lock, state } = await followTask(plan, env, signal, ({ end, restored, from }) => console.log(`${end - from - restored} behind`))
 */
export async function followTask(
  plan: TaskPlan,
  env: StandbyEnv,
  signal: AbortSignal,
  onProgress: (progress: RestoreProgress) => void
): Promise<Held> {
  const { applicationId, driver, cache, clock, transport } = env
  const { stores } = plan.subtopology
  const directory = join(env.stateDirectory, plan.id)
  const taskId = plan.id
  const lock = await lockDirectory(directory, { applicationId, taskId, clock })
  try {
    signal.throwIfAborted()
    const state = await openTaskState({ directory, applicationId, taskId, driver, specs: stores, cache, clock })
    try {
      await restoreStores({
        state,
        changelogs: changelogsOf(applicationId, stores, plan.partition),
        // A broker that is gone is asked for minutes; the task must not wait for its directory as long.
        transport: { offsets: (tps, at) => abortable(transport.offsets(tps, at), signal) },
        reader: env.readers.restore,
        clock,
        signal,
        onProgress,
        follow: true
      })
    } catch (error) {
      if (error !== signal.reason) {
        await state.close()
        throw error
      }
    }
    return { lock, state }
  } catch (error) {
    try {
      if (error instanceof StoreCorruptedError) await destroyTaskState(directory, driver)
    } finally {
      await lock.release()
    }
    throw error
  }
}
