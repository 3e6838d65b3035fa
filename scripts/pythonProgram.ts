/** Python programs of ours: their packages are installed once on a machine, by pip, into a virtual environment of their own. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDir } from '../lib/testing/kafka/jars.ts'

const run = promisify(execFile)

export interface PythonProgramOptions {
  /** Of its folder in the cache. */
  readonly name: string
  /** What it is for: ends the sentence "… is needed to …". */
  readonly purpose: string
  /** A file of pinned versions. */
  readonly requirements: string
  readonly log: (line: string) => void
}

/**
 * @returns the environment's python
 * @throws Error that names what is missing: Python with venv, or the packages, and what pip said
 */
export async function pythonProgram({ name, purpose, requirements, log }: PythonProgramOptions): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
  const folder = join(cacheDir(), `${name}-${hash.slice(0, 16)}`)
  const python = join(folder, 'bin', 'python')
  const installed = join(folder, 'installed')
  if (existsSync(installed)) return python
  log(`installing ${name} with pip (once on this machine) …`)
  await mkdir(cacheDir(), { recursive: true })
  await rm(folder, { recursive: true, force: true })
  await said('Python 3 (python3 -m venv)', purpose, run('python3', ['-m', 'venv', folder]))
  const pip = run(python, ['-m', 'pip', 'install', '-q', '-r', requirements], { maxBuffer: 16 * 1024 * 1024 })
  await said('What pip installs', purpose, pip)
  await writeFile(installed, '')
  return python
}

async function said(needed: string, purpose: string, running: Promise<unknown>): Promise<void> {
  try {
    await running
  } catch (cause) {
    const { code, stdout, stderr } = cause as { code?: unknown; stdout?: string; stderr?: string }
    const text =
      code === 'ENOENT' ? 'there is no such command on the PATH' : `${stdout ?? ''}${stderr ?? ''}`.slice(0, 2_000)
    throw new Error(`${needed} is needed to ${purpose}: ${text || cause}`, { cause })
  }
}
