//! Indents JSON without touching a value.
//!
//! Reading it into numbers and writing it again would change what the service sent: `1.0e3`, an integer of thirty
//! digits, a key given twice. So only the space between the tokens is replaced.

const INDENT: &str = "  ";

/// `text` must be valid JSON.
pub(super) fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            c if is_space(c) => {}
            '{' | '[' => {
                while chars.next_if(|next| is_space(*next)).is_some() {}
                out.push(c);
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(INDENT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn tokens_stay_as_they_came() {
        let text = "{\"a\" :1.0e3,\n\"b\":[ ],\"a\":123456789012345678901234567890, \"c\": [{ }, \"x\\\"y, [\\\\\"]}";
        let expected = r#"{
  "a": 1.0e3,
  "b": [],
  "a": 123456789012345678901234567890,
  "c": [
    {},
    "x\"y, [\\"
  ]
}"#;
        assert_eq!(indent(text), expected);
        assert_eq!(indent(" null "), "null");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_as_what_serde_would_print(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("printable");
            prop_assert_eq!(indent(&value.to_string()), pretty.clone());
            prop_assert_eq!(indent(&pretty), pretty);
        }
    }
}
