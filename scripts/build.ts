/** `npm run build [folder]`: the package's JavaScript and its types, into `dist`, or a folder that is new. What was there stays until all is made. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { bundle, root } from './bundle.ts'

const dist = join(root, 'dist')
const outdir = resolve(root, process.argv[2] ?? 'dist')
if (outdir !== dist && existsSync(outdir)) {
  console.error(`${outdir} is there already: give a folder that is not, or none for ${dist}.`)
  process.exit(2)
}
await mkdir(dirname(outdir), { recursive: true })
const made = await mkdtemp(join(dirname(outdir), `.${basename(outdir)}-`)) // beside it, as maps say where sources are
try {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const types = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', made], {
    stdio: 'inherit'
  })
  if (types.status === 0) {
    await bundle(['actors/index.ts', 'lib/testing/index.ts'], made)
    await rm(outdir, { recursive: true, force: true })
    await rename(made, outdir)
  } else process.exitCode = 1
} finally {
  await rm(made, { recursive: true, force: true })
}
