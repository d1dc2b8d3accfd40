use serde_json::{Value, json};

/// The body of a push: one stream and its entries.
pub fn push_body<L: AsRef<str>>(labels: &[(&str, &str)], entries: &[(i64, L)]) -> String {
    let stream: serde_json::Map<String, Value> = labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let values: Vec<Value> = entries.iter().map(|(at, line)| json!([at.to_string(), line.as_ref()])).collect();
    json!({"streams": [{"stream": stream, "values": values}]}).to_string()
}

/// The entries of all streams of a log answer, sorted by time and line.
pub fn entries(answer: &Value) -> Vec<(i64, String)> {
    assert_eq!(answer["data"]["resultType"], "streams", "{answer}");
    let streams = answer["data"]["result"].as_array().unwrap();
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut entries: Vec<_> = values.map(|value| (text(&value[0]).parse().unwrap(), text(&value[1]))).collect();
    entries.sort();
    entries
}

/// The values of an instant answer, in the order of the answer.
pub fn vector_values(answer: &Value) -> Vec<f64> {
    assert_eq!(answer["data"]["resultType"], "vector", "{answer}");
    let samples = answer["data"]["result"].as_array().unwrap();
    samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

/// The strings of an array.
pub fn strings(array: &Value) -> Vec<String> {
    array.as_array().unwrap_or_else(|| panic!("not an array: {array}")).iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}
