/** The programs on Millrace's side as JavaScript, as users run them: a loader of TypeScript in the process would be measured, too. */
import { spawn } from 'node:child_process'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
let compiling: Promise<void> | undefined

/**
 * Compiles `bench/peers` with all they import into `.cache/bench`, once a run of the bench.
 * @returns where the program is
 */
export async function compiled(source: string): Promise<string> {
  compiling ??= compile()
  await compiling
  return join(root, '.cache/bench/bench/peers', `${basename(source, '.ts')}.js`)
}

function compile(): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  return new Promise((resolve, reject) => {
    spawn(process.execPath, [tsc, '-p', join(root, 'bench/tsconfig.json')], { stdio: ['ignore', 2, 2] })
      .once('error', reject)
      .once('exit', (code) =>
        code === 0 ? resolve() : reject(new Error('bench/peers does not compile: the lines above say where'))
      )
  })
}
