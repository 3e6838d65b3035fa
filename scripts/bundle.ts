/** JavaScript as it is shipped and measured: few files, since Node takes half a millisecond to find, read and link each module of a start. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Each entry with all it imports of ours; packages stay imports. What entries share lies in `shared/`, one folder deep as they look up from it
 * (`callSite` leaves out the frames of the folder above its own).
 * @param entries from the project's root; they keep their paths under `outdir`
 */
export async function bundle(entries: readonly string[], outdir: string): Promise<void> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [...entries],
    outdir,
    outbase: root,
    chunkNames: 'shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    charset: 'utf8',
    sourcemap: true,
    logLevel: 'warning',
    write: false
  })
  for (const { path, text } of outputFiles) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, path.endsWith('.js') ? namedAsWritten(text) : text)
  }
}

/**
 * esbuild writes a class that names itself as `var Stream = class _Stream`, which is what users would see when they print one. (Its `keepNames`
 * costs a call for each function that is made, at run time.)
 */
function namedAsWritten(text: string): string {
  const names = [...text.matchAll(/^var (\w+) = class _\1\b/gm)].map(([, name]) => name!)
  return names.reduce((all, name) => all.replaceAll(new RegExp(`(?<![\\w$.#])_${name}\\b`, 'g'), name), text)
}
