import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The topology of each workload, as bench/workloads/*.ts has it for Millrace. */
final class Workloads {
  private static final Serde<String> STRING = Serdes.String();
  private static final Serde<byte[]> BYTES = Serdes.ByteArray();
  private static final Serde<Long> LONG = Serdes.Long();

  static Topology of(Properties job) {
    StreamsBuilder builder = new StreamsBuilder();
    String[] inputs = job.getProperty("inputs").split(",");
    String output = job.getProperty("output");
    switch (job.getProperty("workload")) {
      case "read" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .filter((key, value) -> key.equals("7"))
          .to(output, Produced.with(STRING, BYTES));
      case "pass" -> builder.stream(inputs[0], Consumed.with(BYTES, BYTES)).to(output, Produced.with(BYTES, BYTES));
      case "json" -> builder.stream(inputs[0], Consumed.with(BYTES, ORDER))
          .mapValues(order -> {
            order.amount = order.amount * 2;
            order.checked = true;
            return order;
          })
          .to(output, Produced.with(BYTES, ORDER));
      case "count", "count-large" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .count(Materialized.as("counts"))
          .toStream()
          .to(output, Produced.with(STRING, LONG));
      case "window" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(1)))
          .count(Materialized.as("counts"))
          .toStream((key, count) -> key.key() + "@" + key.window().start())
          .to(output, Produced.with(STRING, LONG));
      case "session" -> builder.stream(inputs[0], Consumed.with(STRING, BYTES))
          .groupByKey()
          .windowedBy(SessionWindows.ofInactivityGapWithNoGrace(Duration.ofMinutes(1)))
          .count(Materialized.as("counts"))
          .toStream((key, count) -> key.key() + "@" + key.window().start() + "-" + key.window().end())
          .to(output, Produced.with(STRING, LONG));
      case "stream-table" -> {
        KTable<String, String> table = builder.table(inputs[1], Consumed.with(STRING, STRING), Materialized.as("table"));
        builder.stream(inputs[0], Consumed.with(STRING, STRING))
            .join(table, (left, right) -> left + "|" + right)
            .to(output, Produced.with(STRING, STRING));
      }
      case "stream-stream" -> {
        KStream<String, String> other = builder.stream(inputs[1], Consumed.with(STRING, STRING));
        builder.stream(inputs[0], Consumed.with(STRING, STRING))
            .join(
                other,
                (left, right) -> left + "|" + right,
                JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(1)),
                StreamJoined.with(STRING, STRING, STRING).withStoreName("join").withName("join"))
            .to(output, Produced.with(STRING, STRING));
      }
      case "machine" -> {
        builder.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("orders"), STRING, PLACED).withCachingEnabled());
        builder.stream(inputs[0], Consumed.with(STRING, EVENT))
            .processValues(Machine::new, "orders")
            .to(output, Produced.with(STRING, INVOICE));
      }
      default -> throw new IllegalArgumentException("There is no workload " + job.getProperty("workload"));
    }
    return builder.build();
  }

  @JsonPropertyOrder({"id", "amount", "checked", "text"})
  static final class Order {
    public long id;
    public int amount;
    public boolean checked;
    public String text;
  }

  /** What a key of the machine workload is: the state as a word, and its figures. */
  static final class Placed {
    public String state = "empty";
    public int total;
    public int paid;
    public int rounds;
  }

  static final class Event {
    public String type;
    public int price;
    public int amount;
  }

  @JsonPropertyOrder({"type", "paid"})
  static final class Invoice {
    public String type = "invoice";
    public int paid;
  }

  static final class Machine extends ContextualFixedKeyProcessor<String, Event, Invoice> {
    private KeyValueStore<String, Placed> orders;

    @Override
    public void init(FixedKeyProcessorContext<String, Invoice> context) {
      super.init(context);
      orders = context.getStateStore("orders");
    }

    @Override
    public void process(FixedKeyRecord<String, Event> record) {
      Placed order = orders.get(record.key());
      if (order == null) order = new Placed();
      Event event = record.value();
      switch (order.state + " " + event.type) {
        case "empty add" -> {
          order.total = event.price;
          order.state = "open";
        }
        case "open pay" -> {
          if (event.amount < order.total) return;
          order.paid += event.amount;
          order.state = "paid";
          Invoice invoice = new Invoice();
          invoice.paid = order.paid;
          context().forward(record.withValue(invoice));
        }
        case "paid pack" -> order.state = "packed";
        case "packed ship" -> {
          order.rounds++;
          order.state = "empty";
        }
        default -> {
          return;
        }
      }
      orders.put(record.key(), order);
    }
  }

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final Serde<Order> ORDER = json(Order.class);
  private static final Serde<Placed> PLACED = json(Placed.class);
  private static final Serde<Event> EVENT = json(Event.class);
  private static final Serde<Invoice> INVOICE = json(Invoice.class);

  private static <T> Serde<T> json(Class<T> type) {
    ObjectReader reader = MAPPER.readerFor(type);
    ObjectWriter writer = MAPPER.writerFor(type);
    Serializer<T> write = (topic, value) -> {
      try {
        return value == null ? null : writer.writeValueAsBytes(value);
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    };
    Deserializer<T> read = (topic, bytes) -> {
      try {
        return bytes == null ? null : reader.readValue(bytes);
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    };
    return Serdes.serdeFrom(write, read);
  }
}
