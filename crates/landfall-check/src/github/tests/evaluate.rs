use super::*;
use crate::github::slot::Slot;

fn template(text: &str, slot: Slot) -> Template {
    let tree = crate::yaml::parse(SourceId(0), text).unwrap();
    let mut findings = Vec::new();
    let template = match slot {
        Slot::StepIf | Slot::JobIf => Template::read_condition(&tree, slot, &mut findings),
        _ => Template::read(&tree, slot, &mut findings),
    };
    assert!(findings.is_empty(), "{text}: {findings:?}");
    template.unwrap()
}

fn contexts() -> Contexts<'static> {
    let github = expr::from_json(r#"{"ref":"refs/heads/main","event":{"a":[1]}}"#).unwrap();
    Contexts::new().with("github", github)
}

#[test]
fn a_template_keeps_the_type_of_a_single_expression_and_makes_text_of_the_rest() {
    for (text, wanted) in [
        ("plain", "\"plain\""),
        ("12", "12"),
        ("0x10", "16"),
        ("true", "true"),
        ("~", "null"),
        ("'12'", "\"12\""),
        ("${{ 12 }}", "12"),
        ("${{ true }}", "true"),
        ("${{ null }}", "null"),
        ("${{ 1 }}${{ 2 }}", "\"12\""),
        ("a ${{ null }} b", "\"a  b\""),
        ("a ${{ 1 == 1 }}", "\"a true\""),
        ("${{ github.ref }}", "\"refs/heads/main\""),
        ("x-${{ github.event }}", "\"x-Object\""),
        ("${{ '}}' }}!", "\"}}!\""),
        ("${{ 'it''s' }}", "\"it's\""),
        ("'${{ ''a'' }}'", "\"a\""),
    ] {
        let value = template(text, Slot::Step).evaluate(&contexts()).unwrap();
        assert_eq!(expr::to_json(&value), wanted, "{text}");
    }
}

#[test]
fn a_list_or_an_object_is_no_text() {
    for (text, wanted) in [
        ("${{ github.event.a }}", "A sequence was not expected"),
        ("${{ github.event }}", "A mapping was not expected"),
    ] {
        let template = template(text, Slot::Step);
        let error = template.evaluate_text(&contexts()).unwrap_err();
        assert_eq!((error.message.as_str(), error.span), (wanted, template.span));
    }
}

#[test]
fn conditions_hold_as_on_github() {
    let fine = Status::default();
    let failed = Status { success: false, failure: true, cancelled: false };
    let cancelled = Status { success: false, failure: false, cancelled: true };
    for (text, when_fine, when_failed, when_cancelled) in [
        ("", true, false, false),
        ("' '", true, false, false),
        ("true", true, false, false),
        ("false", false, false, false),
        ("0", false, false, false),
        ("github.ref == 'refs/heads/main'", true, false, false),
        ("${{ github.ref == 'refs/heads/main' }}", true, false, false),
        ("github.ref == 'refs/heads/dev'", false, false, false),
        ("always()", true, true, true),
        ("${{ always() }}", true, true, true),
        ("failure()", false, true, false),
        ("cancelled()", false, false, true),
        ("'!cancelled()'", true, true, false),
        ("${{ !cancelled() }}", true, true, false),
        ("success() || failure()", true, true, false),
        ("always() && github.ref == 'x'", false, false, false),
        // Text around an expression makes a string, and a string that is not empty is true.
        ("${{ false }} == true", true, false, false),
        ("x ${{ always() && false }}", true, true, true),
    ] {
        let condition = template(text, Slot::StepIf);
        for (status, wanted) in [(fine, when_fine), (failed, when_failed), (cancelled, when_cancelled)] {
            let mut contexts = contexts();
            contexts.status = status;
            assert_eq!(condition.evaluate_condition(&contexts), Ok(wanted), "{text} {status:?}");
        }
    }
}

#[test]
fn booleans_and_numbers_refuse_other_values() {
    let contexts = contexts();
    for (text, wanted) in [
        ("true", Ok(true)),
        ("'false'", Ok(false)),
        ("${{ 1 == 1 }}", Ok(true)),
        ("${{ 'TRUE' }}", Ok(true)),
        ("${{ 'x' }}", Err("Unexpected value 'x'")),
        ("${{ 1 }}", Err("Unexpected value '1'")),
    ] {
        let found = template(text, Slot::Step).evaluate_bool(&contexts);
        assert_eq!(found.map_err(|error| error.message), wanted.map_err(str::to_owned), "{text}");
    }
    for (text, wanted) in [
        ("5", Ok(5.0)),
        ("${{ fromJSON('2.5') }}", Ok(2.5)),
        ("${{ '7' }}", Ok(7.0)),
        ("${{ 'soon' }}", Err("Unexpected value 'soon'")),
        ("${{ true }}", Err("Unexpected value 'true'")),
    ] {
        let found = template(text, Slot::Step).evaluate_number(&contexts);
        assert_eq!(found.map_err(|error| error.message), wanted.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn a_call_that_fails_names_the_place_of_the_template() {
    let template = template("${{ fromJSON('') }}", Slot::Step);
    let error = template.evaluate(&contexts()).unwrap_err();
    assert_eq!(error.message, "Error parsing fromJson: the text is empty");
    assert_eq!(error.span, template.span);
}

#[test]
fn a_template_says_which_contexts_it_looks_at() {
    let found = template("a ${{ format('{0}', secrets.X) }} b ${{ github.sha }}", Slot::Step);
    assert!(found.mentions("secrets") && found.mentions("GITHUB") && !found.mentions("env"));
}
