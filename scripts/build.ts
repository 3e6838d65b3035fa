/** `npm run build [folder]`: the package's JavaScript and its types, into `dist`. */
import { spawnSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { bundle, root } from './bundle.ts'

const outdir = resolve(root, process.argv[2] ?? 'dist')
await rm(outdir, { recursive: true, force: true })
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const types = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', outdir], {
  stdio: 'inherit'
})
if (types.status !== 0) process.exit(1)
await bundle(['actors/index.ts', 'lib/testing/index.ts'], outdir)
