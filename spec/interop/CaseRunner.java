/* Runs conformance cases on Kafka Streams' own test driver: a case a line on stdin, what came out a line on stdout. Compiled on first use. */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.kstream.internals.suppress.FinalResultsSuppressionBuilder;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.DslSessionParams;
import org.apache.kafka.streams.state.DslWindowParams;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionBytesStoreSupplier;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.VersionedBytesStoreSupplier;
import org.apache.kafka.streams.state.WindowBytesStoreSupplier;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.test.TestRecord;

@SuppressWarnings({"unchecked", "rawtypes"})
public class CaseRunner {
  static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws IOException {
    PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.println(JSON.writeValueAsString(new CaseRunner().run(JSON.readTree(line))));
      out.flush();
    }
  }

  // One case

  final List<Map<String, Object>> seen = new ArrayList<>();
  final StreamsBuilder builder = new StreamsBuilder();
  final Map<String, Object> known = new HashMap<>();
  /** Filters that know what was before: see differences.ts. */
  final java.util.Set<JsonNode> asked = java.util.Collections.newSetFromMap(new java.util.IdentityHashMap<>());
  int names = 0;
  TopologyTestDriver driver;

  Map<String, Object> run(JsonNode c) throws IOException {
    Map<String, Object> result = new LinkedHashMap<>();
    List<List<Map<String, Object>>> steps = new ArrayList<>();
    result.put("steps", steps);
    Path dir = Files.createTempDirectory("millrace-jvm-");
    try {
      markKnown(c.get("topology"), Asker.NOBODY);
      Object root = node(c.get("topology"));
      KStream stream = root instanceof KTable ? ((KTable) root).toStream() : (KStream) root;
      stream.process(() -> new Collector());
      driver = new TopologyTestDriver(builder.build(), config(dir), Instant.ofEpochMilli(0));
      feed(driver, c, steps);
      double dropped = driver.metrics().entrySet().stream()
          .filter(e -> e.getKey().name().equals("dropped-records-total"))
          .mapToDouble(e -> ((Number) e.getValue().metricValue()).doubleValue())
          .sum();
      result.put("dropped", (long) dropped);
    } catch (Throwable e) {
      result.put("error", messages(e));
    } finally {
      try {
        if (driver != null) driver.close();
      } catch (Throwable e) {
        result.putIfAbsent("error", messages(e));
      }
      remove(dir);
    }
    return result;
  }

  static String messages(Throwable e) {
    StringBuilder text = new StringBuilder();
    for (Throwable at = e; at != null; at = at.getCause()) {
      if (text.length() > 0) text.append(" ← ");
      text.append(at.getClass().getSimpleName()).append(": ").append(at.getMessage());
    }
    return text.toString();
  }

  static void remove(Path dir) throws IOException {
    if (!Files.exists(dir)) return;
    try (var paths = Files.walk(dir)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(path);
    }
  }

  static Properties config(Path dir) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, "case");
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
    p.put(StreamsConfig.STATE_DIR_CONFIG, dir.toString());
    p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, JsonSerde.class);
    p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, JsonSerde.class);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    p.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, LongerStores.class);
    // No throttle by the wall clock: what stream time makes due comes out with the record that makes it due.
    p.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
    p.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
    return p;
  }

  void feed(TopologyTestDriver driver, JsonNode c, List<List<Map<String, Object>>> steps) {
    Map<String, TestInputTopic> topics = new HashMap<>();
    JsonNode inputs = c.get("inputs");
    steps.add(take());
    for (int i = 0; i < inputs.size(); i++) {
      advance(driver, c, i);
      JsonNode input = inputs.get(i);
      TestInputTopic topic = topics.computeIfAbsent(
          input.get("topic").asText(),
          name -> driver.createInputTopic(name, new JsonSerde().serializer(), new JsonSerde().serializer()));
      Headers headers = new RecordHeaders();
      if (input.has("headers")) {
        input.get("headers").properties().forEach(
            e -> headers.add(e.getKey(), e.getValue().asText().getBytes(StandardCharsets.UTF_8)));
      }
      topic.pipeInput(new TestRecord(value(input.get("key")), value(input.get("value")), headers, input.get("ts").asLong()));
      steps.add(take());
    }
    advance(driver, c, inputs.size());
    steps.get(steps.size() - 1).addAll(take());
  }

  static void advance(TopologyTestDriver driver, JsonNode c, int before) {
    if (!c.has("advance")) return;
    for (JsonNode move : c.get("advance")) {
      if (move.get("beforeInput").asInt() == before) driver.advanceWallClockTime(Duration.ofMillis(move.get("ms").asLong()));
    }
  }

  List<Map<String, Object>> take() {
    List<Map<String, Object>> taken = new ArrayList<>(seen);
    seen.clear();
    return taken;
  }

  class Collector implements Processor<Object, Object, Void, Void> {
    @Override
    public void process(Record<Object, Object> record) {
      Map<String, Object> one = new LinkedHashMap<>();
      Object key = record.key();
      if (key instanceof Windowed<?> w) {
        one.put("key", w.key());
        one.put("window", List.of(w.window().start(), w.window().end()));
      } else {
        one.put("key", key);
      }
      one.put("value", record.value());
      one.put("ts", record.timestamp());
      Map<String, String> headers = new LinkedHashMap<>();
      for (Header header : record.headers()) headers.put(header.key(), new String(header.value(), StandardCharsets.UTF_8));
      one.put("headers", headers);
      seen.add(one);
    }
  }

  // Topology

  /** Equal sources are one. */
  Object node(JsonNode e) {
    String op = e.get("op").asText();
    if (!op.equals("stream") && !op.equals("table") && !op.equals("globalTable")) return make(op, e);
    String id = e.toString();
    Object made = known.get(id);
    if (made == null) known.put(id, made = make(op, e));
    return made;
  }

  Consumed consumed(JsonNode e) {
    Consumed consumed = Consumed.with(new JsonSerde(), new JsonSerde());
    JsonNode timestamp = e.get("timestamp");
    if (timestamp == null || timestamp.isTextual()) return consumed;
    String field = timestamp.get("field").asText();
    return consumed.withTimestampExtractor((record, before) -> {
      Object time = record.value() instanceof Map<?, ?> map ? map.get(field) : null;
      return time == null ? record.timestamp() : ((Number) time).longValue();
    });
  }

  Materialized stored() {
    return Materialized.with(new JsonSerde(), new JsonSerde());
  }

  Materialized counted() {
    return Materialized.with(new JsonSerde(), Serdes.Long());
  }

  Object make(String op, JsonNode e) {
    switch (op) {
      case "stream":
        return builder.stream(e.get("topic").asText(), consumed(e));
      case "table": {
        String topic = e.get("topic").asText();
        if (!e.has("versionedMs")) return builder.table(topic, consumed(e));
        VersionedBytesStoreSupplier store =
            Stores.persistentVersionedKeyValueStore("versioned-" + names++, Duration.ofMillis(e.get("versionedMs").asLong()));
        return builder.table(topic, consumed(e), Materialized.as(store).withKeySerde((Serde) new JsonSerde()).withValueSerde((Serde) new JsonSerde()));
      }
      case "globalTable":
        return builder.globalTable(e.get("topic").asText(), consumed(e));
      case "merge": {
        KStream left = (KStream) node(e.get("in").get(0));
        return left.merge((KStream) node(e.get("in").get(1)));
      }
      case "join":
        return join(e);
      case "foreignKeyJoin": {
        KTable left = settled(node(e.get("left")), e.get("left"));
        KTable right = settled(node(e.get("right")), e.get("right"));
        Fn fk = fn(e.get("fk"));
        Function<Object, Object> extract = v -> fn(fk, v, null);
        ValueJoiner joiner = joiner(e);
        return e.get("how").asText().equals("inner") ? left.join(right, extract, joiner) : left.leftJoin(right, extract, joiner);
      }
      default:
        return unary(op, e, node(e.get("in")));
    }
  }

  Object join(JsonNode e) {
    Object left = node(e.get("left"));
    Object right = node(e.get("right"));
    String how = e.get("how").asText();
    ValueJoiner joiner = joiner(e);
    if (left instanceof KTable) {
      KTable l = aggregates(e.get("left")) ? kept((KTable) left) : (KTable) left;
      KTable r = aggregates(e.get("right")) ? kept((KTable) right) : (KTable) right;
      return how.equals("inner") ? l.join(r, joiner) : how.equals("left") ? l.leftJoin(r, joiner) : l.outerJoin(r, joiner);
    }
    KStream l = (KStream) left;
    boolean self = left == right;
    if (how.equals("outer") && !(right instanceof KStream)) throw new IllegalArgumentException("a stream and a table have no outer join");
    if (right instanceof KStream r) {
      l = l.peek((k, v) -> openGuards());
      r = self ? l : r.peek((k, v) -> openGuards());
      JsonNode w = e.get("window");
      long before = w.get("beforeMs").asLong();
      long after = w.get("afterMs").asLong();
      Duration grace = Duration.ofMillis(w.has("graceMs") ? w.get("graceMs").asLong() : 0);
      JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(Math.max(Math.abs(before), Math.abs(after))), grace)
          .before(Duration.ofMillis(before)).after(Duration.ofMillis(after));
      StreamJoined with = StreamJoined.with(new JsonSerde(), new JsonSerde(), new JsonSerde());
      if (self) with = with.withDslStoreSuppliers(new SelfJoinStores());
      return how.equals("inner") ? l.join(r, joiner, windows, with)
          : how.equals("left") ? l.leftJoin(r, joiner, windows, with) : l.outerJoin(r, joiner, windows, with);
    }
    if (right instanceof GlobalKTable r) {
      Fn on = e.has("key") ? fn(e.get("key")) : fn("key");
      KeyValueMapper select = (k, v) -> fn(on, v, k);
      return how.equals("inner") ? l.join(r, select, joiner) : l.leftJoin(r, select, joiner);
    }
    KTable r = (KTable) right;
    Joined with = Joined.with(new JsonSerde(), new JsonSerde(), new JsonSerde());
    if (e.has("graceMs")) with = with.withGracePeriod(Duration.ofMillis(e.get("graceMs").asLong()));
    return how.equals("inner") ? l.join(r, joiner, with) : l.leftJoin(r, joiner, with);
  }

  Object unary(String op, JsonNode e, Object in) {
    boolean table = in instanceof KTable;
    KTable t = table ? (KTable) in : null;
    KStream s = in instanceof KStream ? (KStream) in : null;
    Fn f = e.has("fn") && !op.equals("reduce") ? fn(e.get("fn")) : fn("identity");
    Grouped grouping = Grouped.with(new JsonSerde(), new JsonSerde());
    switch (op) {
      case "filter":
      case "filterNot": {
        Fn where = fn(e.get("where"));
        Predicate wanted = (k, v) -> truthy(fn(where, v, k));
        if (!table) return op.equals("filter") ? s.filter(wanted) : s.filterNot(wanted);
        if (aggregates(e.get("in")) && !overWindows(e.get("in"))) asking(t = kept(t));
        KTable passed = op.equals("filter") ? t.filter(wanted) : t.filterNot(wanted);
        if (asked.contains(e)) asking(passed);
        return passed;
      }
      case "map":
        return s.map((KeyValueMapper) (k, v) -> KeyValue.pair(k, fn(f, v, k)));
      case "mapValues": {
        ValueMapperWithKey map = (k, v) -> fn(f, v, k);
        return table ? t.mapValues(map) : s.mapValues(map);
      }
      case "flatMapValues":
        return s.flatMapValues((ValueMapperWithKey) (k, v) -> {
          Object made = fn(f, v, k);
          if (made instanceof List<?> list) return list;
          List<Object> one = new ArrayList<>();
          one.add(made);
          return one;
        });
      case "selectKey":
        return s.selectKey((KeyValueMapper) (k, v) -> fn(f, v, k));
      case "groupByKey":
        return s.groupByKey(grouping);
      case "groupBy": {
        Fn by = fn(e.get("by"));
        if (table) return settled(in, e.get("in")).groupBy((KeyValueMapper) (k, v) -> KeyValue.pair(fn(by, v, k), fn(f, v, k)), grouping);
        return s.groupBy((KeyValueMapper) (k, v) -> fn(by, v, k), grouping);
      }
      case "windowedBy":
        return windowed((KGroupedStream) in, e);
      case "count":
        if (in instanceof KGroupedStream g) return g.count(counted());
        if (in instanceof KGroupedTable g) return g.count(counted());
        if (in instanceof TimeWindowedKStream w) return w.count(counted());
        return ((SessionWindowedKStream) in).count(counted());
      case "sum":
        return aggregate(in, () -> 0, CaseRunner::plus, CaseRunner::minus, CaseRunner::plus);
      case "concat":
        return aggregate(in, () -> "0", (a, v) -> a + "+" + v, (a, v) -> a + "-" + v, (a, b) -> a + "+" + b);
      case "list":
        return aggregate(in, () -> "", (a, v) -> "" + a + v, (a, v) -> a, (a, b) -> "" + a + b);
      case "max":
        return reduce(in, (a, v) -> number(a).doubleValue() >= number(v).doubleValue() ? a : v, (a, v) -> a);
      case "min":
        return reduce(in, (a, v) -> number(a).doubleValue() <= number(v).doubleValue() ? a : v, (a, v) -> a);
      case "reduce":
        switch (e.get("fn").asText()) {
          case "last":
            return reduce(in, (a, v) -> v, (a, v) -> a);
          case "plus":
            return reduce(in, CaseRunner::plus, CaseRunner::minus);
          default:
            return reduce(in, (a, v) -> "" + a + v, (a, v) -> a);
        }
      case "suppress":
        if (e.get("until").isTextual()) return suppress(t, e);
        return kept(suppress(settled(in, e.get("in")), e));
      case "toStream":
        return t.toStream();
      case "toTable":
        return s.toTable(stored());
      case "repartition":
        return s.filter((k, v) -> k != null).repartition(Repartitioned.with(new JsonSerde(), new JsonSerde()));
      case "punctuate": {
        long every = e.get("every").asLong();
        PunctuationType type = e.get("clock").asText().equals("wall") ? PunctuationType.WALL_CLOCK_TIME : PunctuationType.STREAM_TIME;
        return s.process(() -> new Processor<Object, Object, Object, Object>() {
          @Override
          public void init(ProcessorContext<Object, Object> context) {
            context.schedule(Duration.ofMillis(every), type, time -> context.forward(new Record<>(null, time, time)));
          }

          @Override
          public void process(Record<Object, Object> record) {}
        });
      }
      default:
        throw new IllegalArgumentException("the op " + op);
    }
  }

  static Object windowed(KGroupedStream g, JsonNode e) {
    JsonNode w = e.get("window");
    Duration grace = Duration.ofMillis(w.has("graceMs") ? w.get("graceMs").asLong() : 0);
    EmitStrategy emit = e.has("emit") && e.get("emit").asText().equals("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
    Function<String, Duration> field = name -> Duration.ofMillis(w.get(name).asLong());
    switch (w.get("kind").asText()) {
      case "tumbling":
        return g.windowedBy(TimeWindows.ofSizeAndGrace(field.apply("sizeMs"), grace)).emitStrategy(emit);
      case "hopping":
        return g.windowedBy(TimeWindows.ofSizeAndGrace(field.apply("sizeMs"), grace).advanceBy(field.apply("advanceMs"))).emitStrategy(emit);
      case "sliding":
        return g.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(field.apply("diffMs"), grace)).emitStrategy(emit);
      default:
        return g.windowedBy(SessionWindows.ofInactivityGapAndGrace(field.apply("gapMs"), grace)).emitStrategy(emit);
    }
  }

  interface Step {
    Object apply(Object a, Object b);
  }

  Object aggregate(Object in, Initializer initial, Step add, Step subtract, Step merge) {
    Aggregator adder = (k, v, a) -> add.apply(a, v);
    if (in instanceof KGroupedStream g) return g.aggregate(initial, adder, stored());
    if (in instanceof KGroupedTable g) return g.aggregate(initial, adder, (Aggregator) (k, v, a) -> subtract.apply(a, v), stored());
    if (in instanceof TimeWindowedKStream w) return w.aggregate(initial, adder, stored());
    return ((SessionWindowedKStream) in).aggregate(initial, adder, (Merger) (k, a, b) -> merge.apply(a, b), stored());
  }

  Object reduce(Object in, Step add, Step subtract) {
    Reducer adder = (a, v) -> add.apply(a, v);
    if (in instanceof KGroupedStream g) return g.reduce(adder, stored());
    if (in instanceof KGroupedTable g) return g.reduce(adder, (Reducer) (a, v) -> subtract.apply(a, v), stored());
    if (in instanceof TimeWindowedKStream w) return w.reduce(adder, stored());
    return ((SessionWindowedKStream) in).reduce(adder, stored());
  }

  static KTable suppress(KTable t, JsonNode e) {
    boolean fail = e.has("full") && e.get("full").asText().equals("fail");
    JsonNode until = e.get("until");
    if (until.isTextual()) {
      Suppressed.StrictBufferConfig buffer = e.has("maxRecords")
          ? Suppressed.BufferConfig.maxRecords(e.get("maxRecords").asLong()).shutDownWhenFull()
          : Suppressed.BufferConfig.unbounded();
      Suppressed untilClose = Suppressed.untilWindowCloses(buffer);
      JsonNode windows = e;
      while (windows != null && !windows.has("window")) windows = windows.get("in");
      JsonNode w = windows == null ? null : windows.get("window");
      // See differences.ts: while the end still takes records, the result waits.
      if (w != null && (w.get("kind").asText().equals("sliding") || w.get("kind").asText().equals("session"))) {
        long gap = w.has("gapMs") ? w.get("gapMs").asLong() : 0;
        long grace = w.has("graceMs") ? w.get("graceMs").asLong() : 0;
        untilClose = ((FinalResultsSuppressionBuilder) untilClose).buildFinalResultsSuppression(Duration.ofMillis(gap + grace + 1));
      }
      return t.suppress(untilClose);
    }
    Suppressed.BufferConfig buffer = Suppressed.BufferConfig.unbounded();
    if (e.has("maxRecords")) {
      Suppressed.EagerBufferConfig bound = Suppressed.BufferConfig.maxRecords(e.get("maxRecords").asLong());
      buffer = fail ? bound.shutDownWhenFull() : bound.emitEarlyWhenFull();
    }
    return t.suppress(Suppressed.untilTimeLimit(Duration.ofMillis(until.get("ms").asLong()), buffer));
  }

  /**
   * What Kafka Streams says was before, and the row that it computes when it is asked, need not be what came through: see differences.ts.
   * Here the rows are kept as they came.
   */
  KTable settled(Object table, JsonNode e) {
    return e.get("op").asText().equals("table") ? (KTable) table : kept((KTable) table);
  }

  enum Asker { NOBODY, JOIN, GROUPING }

  /** @param asker who behind it needs to know what was before; behind a suppress until a time, a join sees the rows kept there */
  void markKnown(JsonNode e, Asker asker) {
    if (e == null || !e.has("op")) return;
    String op = e.get("op").asText();
    if (asker != Asker.NOBODY) asked.add(e);
    boolean joins = op.equals("foreignKeyJoin") || op.equals("join") && isTable(e.get("left"));
    boolean keeps = op.equals("suppress") && !e.get("until").isTextual() && asker == Asker.JOIN;
    boolean passes = List.of("filter", "filterNot", "mapValues", "suppress").contains(op) && !keeps;
    Asker below = joins ? Asker.JOIN : op.equals("groupBy") && isTable(e.get("in")) ? Asker.GROUPING : passes ? asker : Asker.NOBODY;
    for (String side : List.of("left", "right", "in")) {
      if (!e.has(side)) continue;
      if (e.get(side).isArray()) for (JsonNode child : e.get(side)) markKnown(child, below);
      else markKnown(e.get(side), below);
    }
  }

  static boolean isTable(JsonNode e) {
    switch (e.get("op").asText()) {
      case "join":
        return isTable(e.get("left"));
      case "filter":
      case "filterNot":
      case "mapValues":
        return isTable(e.get("in"));
      case "stream":
      case "globalTable":
      case "toStream":
      case "map":
      case "flatMapValues":
      case "selectKey":
      case "repartition":
      case "merge":
      case "groupBy":
      case "groupByKey":
      case "punctuate":
        return false;
      default:
        return true;
    }
  }

  KTable kept(KTable table) {
    return table.toStream().toTable(stored());
  }

  static void asking(KTable table) {
    ((org.apache.kafka.streams.kstream.internals.KTableImpl) table).enableSendingOldValues(true);
  }

  static boolean overWindows(JsonNode e) {
    return e.has("in") && (e.get("op").asText().equals("windowedBy") || overWindows(e.get("in")));
  }

  /** Whether the changes of this table come from an aggregation, with or without table operators between. */
  static boolean aggregates(JsonNode e) {
    switch (e.get("op").asText()) {
      case "count":
      case "sum":
      case "max":
      case "min":
      case "concat":
      case "list":
      case "reduce":
        return true;
      case "filter":
      case "filterNot":
      case "mapValues":
        return aggregates(e.get("in"));
      default:
        return false;
    }
  }

  // Stores that lose nothing which is still to be used: see differences.ts

  static final Duration LONG = Duration.ofDays(1);

  public static class LongerStores extends BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers {
    @Override
    public WindowBytesStoreSupplier windowStore(DslWindowParams p) {
      if (p.emitStrategy().type() != EmitStrategy.StrategyType.ON_WINDOW_CLOSE && !p.isSlidingWindow()) return super.windowStore(p);
      return Stores.inMemoryWindowStore(p.name(), p.retentionPeriod().plus(LONG), p.windowSize(), p.retainDuplicates());
    }

    @Override
    public SessionBytesStoreSupplier sessionStore(DslSessionParams p) {
      SessionBytesStoreSupplier kept = Stores.inMemorySessionStore(p.name(), p.retentionPeriod().plus(LONG));
      return (SessionBytesStoreSupplier) proxy(SessionBytesStoreSupplier.class, kept,
          (method, args) -> method.equals("get") ? joinable(kept.get(), p.retentionPeriod().toMillis()) : NOT_MINE);
    }

    /** Closed sessions are there for their result only: no record finds them. */
    static Object joinable(SessionStore<Bytes, byte[]> store, long retention) {
      long[] time = {Long.MIN_VALUE / 2};
      return proxy(SessionStore.class, store, (method, args) -> {
        if (method.equals("put")) time[0] = Math.max(time[0], ((Windowed<?>) args[0]).window().end());
        if (method.equals("findSessions") && args.length == 3 && args[1] instanceof Long from) args[1] = Math.max(from, time[0] - retention);
        return NOT_MINE;
      });
    }
  }

  public static class SelfJoinStores extends BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers {
    @Override
    public WindowBytesStoreSupplier windowStore(DslWindowParams p) {
      return Stores.inMemoryWindowStore(p.name(), p.retentionPeriod().plusMillis(1), p.windowSize(), p.retainDuplicates());
    }
  }

  static final Object NOT_MINE = new Object();

  interface Instead {
    Object call(String method, Object[] args);
  }

  static Object proxy(Class<?> type, Object target, Instead instead) {
    return java.lang.reflect.Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> {
      Object made = instead.call(method.getName(), args);
      if (made != NOT_MINE) return made;
      try {
        return method.invoke(target, args);
      } catch (java.lang.reflect.InvocationTargetException e) {
        throw e.getCause();
      }
    });
  }

  /** The time of a join is looked at for what is due with each record: the guard in front of that is late, see differences.ts. */
  void openGuards() {
    try {
      Object task = field(driver, "task");
      for (Object node : ((org.apache.kafka.streams.processor.internals.ProcessorTopology) field(task, "topology")).processors()) {
        Object processor = field(node, "processor");
        if (processor == null || !processor.getClass().getSimpleName().startsWith("KStreamKStreamJoin")) continue;
        Object tracker = field(processor, "sharedTimeTracker");
        var earliest = tracker.getClass().getDeclaredField("minTime");
        earliest.setAccessible(true);
        earliest.setLong(tracker, -1_000_000_000L);
      }
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  static Object field(Object object, String name) throws ReflectiveOperationException {
    for (Class<?> type = object.getClass(); type != null; type = type.getSuperclass()) {
      for (var field : type.getDeclaredFields()) {
        if (!field.getName().equals(name)) continue;
        field.setAccessible(true);
        return field.get(object);
      }
    }
    throw new NoSuchFieldException(object.getClass() + "." + name);
  }

  // Functions

  interface Fn {
    Object apply(Object value, Object key);
  }

  static Object fn(Fn f, Object value, Object key) {
    return f.apply(value, key);
  }

  static Fn fn(String name) {
    switch (name) {
      case "identity":
      case "value":
        return (v, k) -> v;
      case "upper":
        return (v, k) -> v == null ? null : v.toString().toUpperCase();
      case "firstLetter":
        return (v, k) -> v == null || v.toString().isEmpty() ? null : v.toString().substring(0, 1);
      case "parity":
        return (v, k) -> v == null ? null : number(v).longValue() % 2 == 0 ? "even" : "odd";
      case "afterBar":
        return (v, k) -> v instanceof String t && t.indexOf('|') >= 0 ? t.substring(t.indexOf('|') + 1) : null;
      case "positive":
        return (v, k) -> v instanceof Number n && n.doubleValue() > 0;
      case "key":
        return (v, k) -> k;
      default:
        throw new IllegalArgumentException("the function " + name);
    }
  }

  static Fn fn(JsonNode f) {
    if (f.isTextual()) return fn(f.asText());
    if (f.has("const")) {
      Object constant = value(f.get("const"));
      return (v, k) -> constant;
    }
    String field = f.get("field").asText();
    return (v, k) -> v instanceof Map<?, ?> map ? map.get(field) : null;
  }

  static ValueJoiner joiner(JsonNode e) {
    switch (e.get("joiner").asText()) {
      case "dash":
        return (l, r) -> l + "-" + r;
      case "plus":
        return (l, r) -> l + "+" + r;
      case "pair":
        return (l, r) -> "(" + l + "," + r + ")";
      case "glue":
        return (l, r) -> "" + l + r;
      case "right":
        return (l, r) -> r;
      default:
        throw new IllegalArgumentException("the joiner " + e.get("joiner"));
    }
  }

  static boolean truthy(Object v) {
    return v != null && !Boolean.FALSE.equals(v) && !"".equals(v) && !(v instanceof Number n && n.doubleValue() == 0);
  }

  /** As JavaScript has it: null counts 0. */
  static Number number(Object v) {
    return v == null ? 0L : (Number) v;
  }

  static Object plus(Object a, Object b) {
    return number(a).longValue() + number(b).longValue();
  }

  static Object minus(Object a, Object b) {
    return number(a).longValue() - number(b).longValue();
  }

  static Object value(JsonNode node) {
    return node == null || node.isNull() ? null : JSON.convertValue(node, Object.class);
  }

  /** JSON; a windowed key is an object with its window. */
  public static class JsonSerde implements Serde<Object>, Serializer<Object>, Deserializer<Object> {
    @Override
    public void configure(Map<String, ?> configs, boolean isKey) {}

    @Override
    public void close() {}

    @Override
    public Serializer<Object> serializer() {
      return this;
    }

    @Override
    public Deserializer<Object> deserializer() {
      return this;
    }

    @Override
    public byte[] serialize(String topic, Object data) {
      if (data == null) return null;
      try {
        if (data instanceof Windowed<?> w) {
          Map<String, Object> plain = new LinkedHashMap<>();
          plain.put("$window", List.of(w.window().start(), w.window().end()));
          plain.put("$key", w.key());
          return JSON.writeValueAsBytes(plain);
        }
        return JSON.writeValueAsBytes(data);
      } catch (IOException e) {
        throw new IllegalArgumentException(e);
      }
    }

    @Override
    public Object deserialize(String topic, byte[] data) {
      if (data == null) return null;
      try {
        Object value = JSON.readValue(data, Object.class);
        if (value instanceof Map<?, ?> map && map.containsKey("$window")) {
          List<?> window = (List<?>) map.get("$window");
          long start = ((Number) window.get(0)).longValue();
          long end = ((Number) window.get(1)).longValue();
          return new Windowed<>(map.get("$key"), new AnyWindow(start, end));
        }
        return value;
      } catch (IOException e) {
        throw new IllegalArgumentException(e);
      }
    }
  }

  static class AnyWindow extends Window {
    AnyWindow(long start, long end) {
      super(start, end);
    }

    @Override
    public boolean overlap(Window other) {
      return false;
    }
  }
}
