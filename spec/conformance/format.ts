/** Conformance cases as data: their types, and a strict reader. A field it does not know is an error, never a pass. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

// biome-ignore lint/suspicious/noExplicitAny: keys, values and nodes of cases are any JSON
export type Any = any

/** A record as a case states it; a missing `ts` is not compared. */
export interface CaseRecord {
  key: Any
  value: Any
  ts?: number
  window?: [start: number, end: number]
  topic?: string
  headers?: Record<string, string>
}

export interface CaseInput {
  topic: string
  key: Any
  value: Any
  ts: number
  partition?: number
  headers?: Record<string, string>
}

export interface CaseStep {
  /** Number of the input, from 1; 0 = before any. */
  after: number
  out?: CaseRecord[]
  last?: CaseRecord[]
}

/** A node of the topology: `op` and its fields; `in`, `left`, `right` hold nodes. */
export interface Expression {
  op: string
  [field: string]: Any
}

export interface Case {
  name: string
  source?: string
  note?: string
  topology: Expression
  inputs: CaseInput[]
  advance?: { beforeInput: number; ms: number }[]
  buffered?: boolean
  expect: { steps?: CaseStep[]; all?: CaseRecord[]; last?: CaseRecord[]; error?: string }
  order?: 'exact' | 'perKey'
  drops?: number
  cache?: 'on' | 'off'
  artefact?: boolean
}

/** A file or a case that is not in the format. */
export class FormatError extends Error {}

const NODE_FIELDS: Record<string, { needs: string[]; may?: string[] }> = {
  stream: { needs: ['topic'], may: ['partitions', 'timestamp'] },
  table: { needs: ['topic'], may: ['versionedMs', 'partitions', 'timestamp'] },
  globalTable: { needs: ['topic'], may: ['partitions', 'timestamp'] },
  filter: { needs: ['in', 'where'] },
  filterNot: { needs: ['in', 'where'] },
  map: { needs: ['in', 'fn'] },
  mapValues: { needs: ['in', 'fn'] },
  flatMapValues: { needs: ['in', 'fn'] },
  selectKey: { needs: ['in', 'fn'] },
  merge: { needs: ['in'] },
  groupByKey: { needs: ['in'] },
  groupBy: { needs: ['in', 'by'], may: ['fn'] },
  windowedBy: { needs: ['in', 'window'], may: ['emit'] },
  count: { needs: ['in'] },
  sum: { needs: ['in'] },
  max: { needs: ['in'] },
  min: { needs: ['in'] },
  concat: { needs: ['in'] },
  list: { needs: ['in'] },
  reduce: { needs: ['in', 'fn'] },
  suppress: { needs: ['in', 'until'], may: ['maxRecords', 'full'] },
  join: { needs: ['how', 'left', 'right', 'joiner'], may: ['window', 'graceMs', 'key'] },
  foreignKeyJoin: { needs: ['how', 'left', 'right', 'fk', 'joiner'] },
  toStream: { needs: ['in'] },
  toTable: { needs: ['in'] },
  repartition: { needs: ['in'] },
  punctuate: { needs: ['in', 'every', 'clock'] }
}

const WINDOW_FIELDS: Record<string, string[]> = {
  tumbling: ['sizeMs'],
  hopping: ['sizeMs', 'advanceMs'],
  sliding: ['diffMs'],
  session: ['gapMs']
}

const NAMED = ['identity', 'value', 'upper', 'firstLetter', 'parity', 'afterBar', 'positive', 'key']
const JOINERS = ['dash', 'plus', 'pair', 'glue', 'right']

const fail = (at: string, what: string): never => {
  throw new FormatError(`${at}: ${what}`)
}

function object(at: string, value: Any, needs: readonly string[], may: readonly string[] = []): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(at, 'is no object')
  for (const field of needs) if (!(field in value)) fail(at, `the field "${field}" is missing`)
  for (const field of Object.keys(value)) {
    if (!needs.includes(field) && !may.includes(field)) fail(at, `the field "${field}" is not known`)
  }
}

function list(at: string, value: Any, each: (item: Any, at: string) => void): void {
  if (!Array.isArray(value)) fail(at, 'is no list')
  for (const [i, item] of (value as Any[]).entries()) each(item, `${at}[${i}]`)
}

function oneOf(at: string, value: Any, ...known: Any[]): void {
  if (!known.includes(value))
    fail(at, `is ${JSON.stringify(value)}, not ${known.map((k) => JSON.stringify(k)).join(', ')}`)
}

function number(at: string, value: Any): void {
  if (typeof value !== 'number' || !Number.isFinite(value)) fail(at, `is ${JSON.stringify(value)}, not a number`)
}

function text(at: string, value: Any): void {
  if (typeof value !== 'string') fail(at, `is ${JSON.stringify(value)}, not a text`)
}

function headers(at: string, value: Any): void {
  if (value === undefined) return
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(at, 'is no object')
  for (const [name, item] of Object.entries(value)) text(`${at}.${name}`, item)
}

function fn(at: string, value: Any): void {
  if (typeof value === 'string') {
    oneOf(at, value, ...NAMED)
    return
  }
  object(at, value, [], ['const', 'field'])
  if (Object.keys(value).length !== 1) fail(at, 'needs one of "const" and "field"')
  if ('field' in value) text(`${at}.field`, value.field)
}

function window(at: string, value: Any): void {
  const fields = WINDOW_FIELDS[value?.kind] ?? fail(at, `the kind ${JSON.stringify(value?.kind)} is not known`)
  object(at, value, ['kind', ...fields], ['graceMs'])
  for (const field of [...fields, ...('graceMs' in value ? ['graceMs'] : [])]) number(`${at}.${field}`, value[field])
}

function node(e: Any, at: string): void {
  if (typeof e?.op !== 'string') fail(at, 'is no node: it has no "op"')
  const fields = Object.hasOwn(NODE_FIELDS, e.op) ? NODE_FIELDS[e.op]! : fail(at, `the op "${e.op}" is not known`)
  object(`${at} (${e.op})`, e, ['op', ...fields.needs], [...(fields.may ?? []), 'name'])
  for (const side of ['left', 'right']) if (side in e) node(e[side], `${at}.${side}`)
  if (e.op === 'merge') {
    list(`${at}.in`, e.in, node)
    if (e.in.length !== 2) fail(`${at}.in`, 'merge takes two nodes')
  } else if ('in' in e) node(e.in, `${at}.in`)
  for (const field of ['where', 'by', 'fk', 'key']) if (field in e) fn(`${at}.${field}`, e[field])
  if (e.op === 'reduce') oneOf(`${at}.fn`, e.fn, 'last', 'plus', 'concat')
  else if ('fn' in e) fn(`${at}.fn`, e.fn)
  if ('joiner' in e) oneOf(`${at}.joiner`, e.joiner, ...JOINERS)
  if ('how' in e) oneOf(`${at}.how`, e.how, 'inner', 'left', ...(e.op === 'join' ? ['outer'] : []))
  for (const field of ['topic', 'name']) if (field in e) text(`${at}.${field}`, e[field])
  for (const field of ['partitions', 'versionedMs', 'graceMs', 'every', 'maxRecords']) {
    if (field in e) number(`${at}.${field}`, e[field])
  }
  if (e.op === 'punctuate') oneOf(`${at}.clock`, e.clock, 'stream', 'wall')
  if ('emit' in e) oneOf(`${at}.emit`, e.emit, 'update', 'close')
  if ('full' in e) oneOf(`${at}.full`, e.full, 'emit', 'fail')
  if ('until' in e && e.until !== 'close') {
    object(`${at}.until`, e.until, ['ms'])
    number(`${at}.until.ms`, e.until.ms)
  }
  if ('timestamp' in e && e.timestamp !== 'record') {
    object(`${at}.timestamp`, e.timestamp, ['field'])
    text(`${at}.timestamp.field`, e.timestamp.field)
  }
  if (e.op === 'windowedBy') window(`${at}.window`, e.window)
  if (e.op === 'join' && 'window' in e) {
    object(`${at}.window`, e.window, ['beforeMs', 'afterMs'], ['graceMs'])
    for (const [field, value] of Object.entries(e.window)) number(`${at}.window.${field}`, value)
  }
}

function record(r: Any, at: string): void {
  object(at, r, ['key', 'value'], ['ts', 'window', 'topic', 'headers'])
  if ('ts' in r) number(`${at}.ts`, r.ts)
  headers(`${at}.headers`, r.headers)
  if ('topic' in r) text(`${at}.topic`, r.topic)
  if (!('window' in r)) return
  list(`${at}.window`, r.window, (bound, where) => number(where, bound))
  if (r.window.length !== 2) fail(`${at}.window`, 'needs start and end')
}

function step(s: Any, at: string): void {
  object(at, s, ['after'], ['out', 'last'])
  number(`${at}.after`, s.after)
  if ('out' in s === 'last' in s) fail(at, 'needs one of "out" and "last"')
  list(`${at}.${'out' in s ? 'out' : 'last'}`, s.out ?? s.last, record)
}

function input(i: Any, at: string): void {
  object(at, i, ['topic', 'key', 'value', 'ts'], ['partition', 'headers'])
  text(`${at}.topic`, i.topic)
  number(`${at}.ts`, i.ts)
  if ('partition' in i) number(`${at}.partition`, i.partition)
  headers(`${at}.headers`, i.headers)
}

/** @throws FormatError that says where */
export function checkCase(c: Any, at: string): Case {
  object(
    at,
    c,
    ['name', 'topology', 'inputs', 'expect'],
    ['source', 'note', 'advance', 'buffered', 'order', 'drops', 'cache', 'artefact']
  )
  text(`${at}.name`, c.name)
  const where = `${at} "${c.name}"`
  for (const field of ['source', 'note']) if (field in c) text(`${where}.${field}`, c[field])
  node(c.topology, `${where}.topology`)
  list(`${where}.inputs`, c.inputs, input)
  if ('advance' in c) {
    list(`${where}.advance`, c.advance, (move, there) => {
      object(there, move, ['beforeInput', 'ms'])
      number(`${there}.beforeInput`, move.beforeInput)
      number(`${there}.ms`, move.ms)
    })
  }
  for (const field of ['buffered', 'artefact']) if (field in c) oneOf(`${where}.${field}`, c[field], true, false)
  if ('order' in c) oneOf(`${where}.order`, c.order, 'exact', 'perKey')
  if ('cache' in c) oneOf(`${where}.cache`, c.cache, 'on', 'off')
  if ('drops' in c) number(`${where}.drops`, c.drops)
  object(`${where}.expect`, c.expect, [], ['steps', 'all', 'last', 'error'])
  if (Object.keys(c.expect).length !== 1) fail(`${where}.expect`, 'needs exactly one of steps, all, last, error')
  const { steps, all, last, error } = c.expect
  if (steps !== undefined) {
    list(`${where}.expect.steps`, steps, step)
    const seen = new Set<number>()
    for (const { after } of steps) {
      if (seen.has(after)) fail(`${where}.expect.steps`, `input ${after} is named twice`)
      if (!(Number.isInteger(after) && after >= 0 && after <= c.inputs.length)) {
        fail(`${where}.expect.steps`, `there is no input ${after}`)
      }
      seen.add(after)
    }
  }
  if (all !== undefined) list(`${where}.expect.all`, all, record)
  if (last !== undefined) list(`${where}.expect.last`, last, record)
  if (error !== undefined) text(`${where}.expect.error`, error)
  if (c.buffered && steps) fail(where, 'a buffered case has no steps: compare "all" or "last"')
  return c as Case
}

/** @throws FormatError */
export function parseCases(json: string, at: string): Case[] {
  let data: Any
  try {
    data = JSON.parse(json)
  } catch (cause) {
    throw new FormatError(`${at}: ${(cause as Error).message}`, { cause })
  }
  object(at, data, ['cases'])
  list(`${at}: cases`, data.cases, () => {})
  return (data.cases as Any[]).map((c, i) => checkCase(c, `${at}: cases[${i}]`))
}

export interface CaseFile {
  readonly path: string
  readonly cases: readonly Case[]
  /** Set when the file is not in the format: it then counts as one failure. */
  readonly error?: string
}

/** All `*.json` files of folders (not of folders in them), and single files. */
export function readCases(paths: readonly string[]): CaseFile[] {
  return paths.flatMap((path) => {
    if (!existsSync(path)) return [{ path, cases: [], error: `${path}: there is no such folder or file` }]
    const files = statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((file) => file.endsWith('.json'))
          .sort()
          .map((file) => join(path, file))
      : [path]
    if (files.length === 0) return [{ path, cases: [], error: `${path}: the folder has no *.json file` }]
    return files.map((file): CaseFile => {
      try {
        return { path: file, cases: parseCases(readFileSync(file, 'utf8'), basename(file)) }
      } catch (error) {
        if (!(error instanceof FormatError)) throw error
        return { path: file, cases: [], error: error.message }
      }
    })
  })
}
