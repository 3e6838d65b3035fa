/** Starts holder.ts in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Child {
  readonly process: ChildProcess
  readonly lines: Interface
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>
}

export function startHolder(what: 'lock' | 'write', directory: string, binding = 'rocksdb-native'): Child {
  const file = fileURLToPath(new URL('./holder.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', file, what, directory, binding], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit')
  return {
    process: child,
    lines: createInterface({ input: child.stdout! }),
    async kill() {
      child.kill('SIGKILL')
      await exited
    }
  }
}
