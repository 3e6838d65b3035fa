/** The programs on Millrace's side as JavaScript, as users run them: a loader of TypeScript in the process would be measured, too. */
import { basename, join } from 'node:path'
import { bundle, root } from '../../scripts/bundle.ts'

const PROGRAMS = ['millrace', 'kafkajs', 'raw']
const OUT = join(root, '.cache/bench')
let compiling: Promise<void> | undefined

/**
 * Bundles the programs as the package is bundled, once a run of the bench.
 * @returns where the program is
 */
export async function compiled(source: string): Promise<string> {
  compiling ??= bundle(
    PROGRAMS.map((name) => `bench/peers/${name}.ts`),
    OUT
  )
  await compiling
  return join(OUT, 'bench/peers', `${basename(source, '.ts')}.js`)
}
